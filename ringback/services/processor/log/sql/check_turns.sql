-- Give on the turns of webhooks that no processor has seen for $1, and of failed ones with more than
-- $2 webhooks behind them.
SELECT passed, longest_stop_s FROM check_webhook_turns($1, $2)
