-- The first $2 endpoints after $1, by id, of gateways that reported in the last 30 s: a row for each
-- gateway, the newest declaration first.
WITH running AS (
    SELECT id AS gateway_id, host FROM webhook_gateways
    WHERE seen_at > clock_timestamp() - interval '30 seconds'
), page AS (
    SELECT DISTINCT endpoint_id
    FROM webhook_gateway_endpoints JOIN running USING (gateway_id)
    WHERE endpoint_id > $1
    ORDER BY endpoint_id
    LIMIT $2
)
SELECT endpoint_id AS id, org_id, gateway_id, host, since, declared
FROM page
JOIN webhook_gateway_endpoints USING (endpoint_id)
JOIN running USING (gateway_id)
ORDER BY endpoint_id, since DESC, gateway_id
