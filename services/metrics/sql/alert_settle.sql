-- People were told of $5 dead letters of the groups of $2 to $4, if it is still the turn of $1.
SELECT settle_webhook_alerts($1, $2, $3, $4, $5)
