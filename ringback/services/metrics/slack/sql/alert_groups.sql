-- The groups of dead letters to announce, and the current time of the same clock as their times.
SELECT org_id, event_type, error_class, unsent, sent, example, opened_at, unsent_since, last_at,
       sent_at, clock_timestamp() AS now
FROM webhook_alerts
ORDER BY unsent_since NULLS LAST, last_at
