-- The gateways that reported in the last 30 s.
SELECT id, host, started_at, seen_at, endpoint_count, file_problems
FROM webhook_gateways
WHERE seen_at > clock_timestamp() - interval '30 seconds'
ORDER BY host, id
LIMIT 100
