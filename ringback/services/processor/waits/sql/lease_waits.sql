-- Lease a batch of waits that are due, with what their messages are made of.
SELECT delivery_id, attempt, event_type, reason, destination, cancellation, due_at, leased_until,
       headers, body
FROM lease_webhook_waits($1, $2, $3, $4, $5, $6)
