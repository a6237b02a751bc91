"""The client: unique webhooks at an even rate, and a ledger of what each was answered."""
