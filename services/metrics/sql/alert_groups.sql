-- The groups of dead letters that people are told of, with the time by the clock of all their times.
SELECT org_id, event_type, error_class, untold, told, example, opened_at, untold_since, last_at,
       told_at, clock_timestamp() AS now
FROM webhook_alerts
ORDER BY untold_since NULLS LAST, last_at
