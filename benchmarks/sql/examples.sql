-- At most 200 webhooks of each kind that belong to the organisations from $1 to $2, with calls: of $3 in 256
-- webhooks, chosen by the random part of their ids.
SELECT kind, id, call_id
FROM (
    SELECT id, call_id, coalesce(resolution, status) AS kind,
           row_number() OVER (PARTITION BY coalesce(resolution, status) ORDER BY md5(id::text)) AS place
    FROM webhook_delivery_log
    WHERE org_id BETWEEN $1 AND $2 AND get_byte(uuid_send(id), 15) < $3
) AS found
WHERE place <= 200
