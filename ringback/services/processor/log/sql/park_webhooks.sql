-- Park a webhook behind the one that has the turn of its call. False: it has the turn itself now.
SELECT park_webhooks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
