-- Lease the sending to $1 for $2. Returns how many sends failed in a row, null if $1 did not get the
-- lease.
SELECT acquire_webhook_alert_lease($1, $2)
