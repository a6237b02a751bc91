-- Release the turn of $1, after $2 failures in a row; nobody sends for $3.
SELECT end_webhook_alert_turn($1, $2, $3)
