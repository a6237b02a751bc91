-- Add up the counts of each gateway instance.
SELECT fold_webhook_gateway_rows()
