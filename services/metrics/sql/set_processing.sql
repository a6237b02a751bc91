-- Pause or resume, and return the resulting state. A processor without a report for 10 s is not
-- counted.
SELECT standing.paused, standing.changed_at, standing.changed_by, standing.reason,
       processors.all_of_them, processors.paused_of_them
FROM set_webhook_processing($1, $2, $3, $4) AS standing
CROSS JOIN (
    SELECT count(*) AS all_of_them, count(*) FILTER (WHERE is_paused) AS paused_of_them
    FROM webhook_processors
    WHERE seen_at > clock_timestamp() - interval '10 seconds'
) AS processors
