-- Say that this processor lives, what it has in hand, and whether it has noticed a pause.
SELECT note_webhook_processor($1, $2, $3, $4, $5)
