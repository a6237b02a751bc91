-- Take the turns of ordered webhooks; returns those that have to wait for another one's end.
SELECT behind AS delivery_id FROM take_webhook_turns($1, $2, $3, $4, $5) AS behind
