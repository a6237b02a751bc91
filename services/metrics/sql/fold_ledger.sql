-- Sums up what statements counted of each gateway's life.
SELECT fold_webhook_gateway_rows()
