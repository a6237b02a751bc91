-- Lock unfinished webhooks, as a careless script would.
SELECT id FROM webhook_delivery_log WHERE status IN ('pending', 'processing', 'failed') FOR UPDATE
