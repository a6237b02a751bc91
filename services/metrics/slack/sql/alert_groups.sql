-- The groups of dead letters to announce, with the time of the clock that all their times use.
SELECT org_id, event_type, error_class, untold AS unsent, told AS sent, example, opened_at,
       untold_since AS unsent_since, last_at, told_at AS sent_at, clock_timestamp() AS now
FROM webhook_alerts
ORDER BY untold_since NULLS LAST, last_at
