-- End the groups of $2 to $4 that have not grown since $5, if $1 has the lease.
SELECT close_webhook_alerts($1, $2, $3, $4, $5)
