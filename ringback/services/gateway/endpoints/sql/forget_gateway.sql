-- Remove what a gateway reported.
SELECT forget_webhook_gateway($1)
