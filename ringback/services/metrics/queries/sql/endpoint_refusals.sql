-- The last 20 kinds of refusals of each endpoint in $1, of gateways that reported in the last 30 s.
SELECT *
FROM (
    SELECT endpoint_id, reason, max(status) AS status, sum(count)::bigint AS count,
           min(first_at) AS first_at, max(last_at) AS last_at,
           row_number() OVER (PARTITION BY endpoint_id ORDER BY max(last_at) DESC) AS place
    FROM webhook_gateway_refusals AS refusal
    JOIN webhook_gateways AS gateway ON gateway.id = refusal.gateway_id
    WHERE endpoint_id = ANY ($1::text[])
      AND gateway.seen_at > clock_timestamp() - interval '30 seconds'
    GROUP BY endpoint_id, reason
) AS counted
WHERE place <= 20
ORDER BY endpoint_id, place
