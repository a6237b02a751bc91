-- Mark $5 dead letters of the groups of $2 to $4 as announced, if $1 still has the lease.
SELECT mark_webhook_alerts_sent($1, $2, $3, $4, $5)
