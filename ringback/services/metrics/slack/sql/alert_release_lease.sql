-- Release the lease of $1, after $2 failures in a row; no process sends for $3.
SELECT release_webhook_alert_lease($1, $2, $3)
