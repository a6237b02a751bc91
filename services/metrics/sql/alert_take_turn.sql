-- Take the turn of sending one message, for $2: how many sends failed in a row, null if it is not $1's.
SELECT take_webhook_alert_turn($1, $2)
