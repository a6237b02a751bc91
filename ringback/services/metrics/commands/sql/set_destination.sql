-- Keep a destination in a state, or null to let it change by itself. Whether its name is known.
SELECT set_webhook_destination($1, $2, $3, $4, $5) AS is_known
