-- The groups of dead letters to announce, with the time of the clock that all their times use.
SELECT org_id, event_type, error_class, unsent, sent, example, opened_at, unsent_since, last_at,
       sent_at, clock_timestamp() AS now
FROM webhook_alerts
ORDER BY unsent_since NULLS LAST, last_at
