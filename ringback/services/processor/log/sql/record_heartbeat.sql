-- Report that this processor runs, what is in flight, whether it has noticed a pause, and the
-- states of its destinations.
SELECT record_webhook_heartbeat($1, $2, $3, $4, $5::text::jsonb)
