-- Pause or resume, and return the resulting state. A processor that has not reported for 10 s is not
-- counted.
SELECT state.paused, state.changed_at, state.changed_by, state.reason,
       reporting.processors, reporting.processors_paused
FROM set_webhook_processing($1, $2, $3, $4) AS state
CROSS JOIN (
    SELECT count(*) AS processors, count(*) FILTER (WHERE is_paused) AS processors_paused
    FROM webhook_processors
    WHERE seen_at > clock_timestamp() - interval '10 seconds'
) AS reporting
