-- The ended attempts of one webhook, in order.
SELECT attempt, outcome, started_at, ended_at, duration_ms, error_class, error_message,
       trace_id, span_id, answer::text AS answer
FROM webhook_delivery_attempts
WHERE delivery_id = $1
ORDER BY attempt
