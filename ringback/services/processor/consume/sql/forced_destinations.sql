-- The destinations that people keep in a state.
SELECT name, forced_state FROM webhook_destinations WHERE forced_state IS NOT NULL
