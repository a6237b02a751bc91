-- Mark $5 dead letters of the groups of $2 to $4 as announced, if $1 still has the turn.
SELECT settle_webhook_alerts($1, $2, $3, $4, $5)
