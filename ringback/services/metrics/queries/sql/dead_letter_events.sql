-- The events of $1 with ids between $2 and $3, newest first, as many as fit into $4 bytes together.
-- An event that is too large alone is skipped. Events that do not fit are not read: the size of a
-- stored value is known without reading it. As text it may be larger.
SELECT id, size_bytes, before_bytes + size_bytes <= $4 AS fits,
       CASE WHEN webhook_has_payload(event_data) AND before_bytes + size_bytes <= $4
            THEN event_data::text END AS event_data
FROM (
    SELECT id, event_data, size_bytes,
           coalesce(sum(size_bytes) FILTER (WHERE size_bytes <= $4)
               OVER (ORDER BY id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
               0)::bigint AS before_bytes
    FROM (
        SELECT id, event_data, pg_column_size(event_data)::bigint AS size_bytes
        FROM webhook_delivery_log
        WHERE id = ANY ($1) AND id BETWEEN $2 AND $3
    ) AS sized
) AS added_up
ORDER BY id DESC
