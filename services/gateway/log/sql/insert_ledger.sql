-- How many webhooks this gateway instance has accepted so far.
INSERT INTO webhook_gateway_ledger (gateway_life, accepted) VALUES ($1, $2)
