-- End the groups of $2 to $4 that have not grown since $5, if it is the turn of $1.
SELECT end_webhook_alerts($1, $2, $3, $4, $5)
