-- The error that an attempt was recorded with.
SELECT error_class, error_message FROM webhook_delivery_attempts WHERE delivery_id = $1 AND attempt = $2
