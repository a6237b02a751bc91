-- How many webhooks this gateway instance has accepted so far.
INSERT INTO webhook_gateway_ledger (gateway_instance_id, accepted) VALUES ($1, $2)
