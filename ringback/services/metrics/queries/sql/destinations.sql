-- The destinations that processors reported, people decided about, or webhooks wait for. $1 is one
-- name, or null for all. A processor that has not reported for 10 s is not counted.
WITH reported AS (
    SELECT one.name, count(*) AS processors,
           count(*) FILTER (WHERE one.state <> 'closed') AS processors_not_closed,
           max(array_position(ARRAY['closed', 'half_open', 'open'], one.state)) AS state,
           sum(one.in_flight)::integer AS in_flight,
           -- Of the processor in the worst state.
           (array_agg(one.last_error ORDER BY
               array_position(ARRAY['closed', 'half_open', 'open'], one.state) DESC,
               processor.seen_at DESC) FILTER (WHERE one.last_error IS NOT NULL))[1] AS last_error,
           min(one.retry_at) AS retry_at
    FROM webhook_processors AS processor
    CROSS JOIN jsonb_to_recordset(processor.destinations) AS one (
        name text, state text, in_flight integer, last_error text, retry_at timestamptz)
    WHERE processor.seen_at > clock_timestamp() - interval '10 seconds'
    GROUP BY one.name
), waits AS (
    SELECT destination AS name, count(*) AS waiting
    FROM webhook_waits
    WHERE destination IS NOT NULL
    GROUP BY destination
)
SELECT name, coalesce(reported.state, 0) AS state, coalesce(reported.processors, 0) AS processors,
       coalesce(reported.processors_not_closed, 0) AS processors_not_closed,
       coalesce(reported.in_flight, 0) AS in_flight, reported.last_error, reported.retry_at,
       coalesce(waits.waiting, 0) AS waiting,
       coalesce(array_position(ARRAY['closed', 'half_open', 'open'], forced.forced_state), 0)
           AS forced_state,
       forced.changed_at, forced.changed_by, forced.reason
FROM reported
FULL JOIN webhook_destinations AS forced USING (name)
FULL JOIN waits USING (name)
WHERE $1::text IS NULL OR name = $1
ORDER BY name
