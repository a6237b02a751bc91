-- Record which destinations answered and which only failed; returns those that are stopped by it.
SELECT destination, failing_since FROM record_webhook_forward_outcomes($1, $2, $3)
