-- Report that this processor runs, what is in flight, and whether it has noticed a pause.
SELECT record_webhook_heartbeat($1, $2, $3, $4, $5)
