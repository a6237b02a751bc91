-- What the built-in handler has made of the events of one call.
SELECT call_id, call_type, status, started_at, ended_at, ended_reason, duration_seconds, cost,
       customer_number, summary, transcript, events
FROM voice_calls
WHERE org_id = $1 AND call_id = $2
