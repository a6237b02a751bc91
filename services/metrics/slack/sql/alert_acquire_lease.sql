-- Lease the sending to $1 for $2: how many sends failed in a row, null if $1 did not get
-- it.
SELECT acquire_webhook_alert_lease($1, $2)
