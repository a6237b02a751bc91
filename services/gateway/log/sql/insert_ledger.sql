-- How many webhooks this life of a gateway has accepted so far.
INSERT INTO webhook_gateway_ledger (gateway_life, accepted) VALUES ($1, $2)
