-- Release or cancel one waiting webhook, or the next ones of a filter; or return why not.
SELECT verdict, changed, has_more FROM change_webhook_waits($1, $2, $3, $4, $5, $6, $7, $8, $9)
