"""The client: unique webhooks at an even rate, and a ledger of the answer to each."""
