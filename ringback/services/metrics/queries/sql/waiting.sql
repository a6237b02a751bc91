-- Waiting webhooks after ($1, $2), in the order in which they are due, that match every
-- given filter (null: no filter): reason, destination. It reads at most $3 of them and returns at
-- most $4. The last row it may read is returned even if it does not match, because the next page
-- begins after it. For a tenant, $7 and $8 are its organisation, as in `deliveries.sql`.
SELECT *
FROM (
    SELECT looked_at.*,
           (($5::text IS NULL OR reason = $5) AND ($6::text IS NULL OR destination = $6)) IS TRUE
               AS matches
    FROM (
        SELECT delivery_id AS id, org_id, event_type, reason, attempt, created_at, due_at,
               destination, order_key, row_number() OVER (ORDER BY due_at, delivery_id) AS place
        FROM webhook_waits
        WHERE (due_at, delivery_id) > ($1::timestamptz, $2::uuid) AND org_id BETWEEN $7 AND $8
        ORDER BY due_at, delivery_id
        LIMIT $3
    ) AS looked_at
) AS judged
WHERE matches OR place = $3
ORDER BY due_at, id
LIMIT $4
