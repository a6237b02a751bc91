-- Take the turn to send one message, for $2: how many sends failed in a row, null if $1 did not get
-- it.
SELECT take_webhook_alert_turn($1, $2)
