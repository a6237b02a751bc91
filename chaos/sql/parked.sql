-- How many webhooks of these calls are parked behind another one of their call.
SELECT count(*) FROM webhook_waits WHERE reason = 'order' AND order_key = ANY ($1::text[])
