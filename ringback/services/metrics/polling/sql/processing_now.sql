-- Whether processing is paused, and the reports of processors from the last ten seconds.
SELECT coalesce(processing.paused, false) AS paused, processing.changed_at, processing.changed_by,
       processing.reason, living.processors, living.processors_paused, living.in_flight
FROM (
    SELECT count(*) AS processors,
           count(*) FILTER (WHERE is_paused) AS processors_paused,
           coalesce(sum(in_flight), 0) AS in_flight
    FROM webhook_processors
    WHERE seen_at > clock_timestamp() - interval '10 seconds'
) AS living
LEFT JOIN webhook_processing AS processing ON true
