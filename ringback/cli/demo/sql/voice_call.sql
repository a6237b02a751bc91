-- The row that the built-in handler wrote for one call.
SELECT call_id, call_type, status, started_at, ended_at, ended_reason, duration_seconds, cost,
       customer_number, summary, transcript, events
FROM voice_calls
WHERE org_id = $1 AND call_id = $2
