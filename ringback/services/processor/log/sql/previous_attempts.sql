-- For each webhook of the list: where its last attempt below a number was traced.
SELECT asked.place, before.trace_id, before.span_id
FROM unnest($1::uuid[], $2::integer[]) WITH ORDINALITY AS asked (delivery_id, attempt, place)
CROSS JOIN LATERAL (
    SELECT made.trace_id, made.span_id
    FROM webhook_delivery_attempts AS made
    WHERE made.delivery_id = asked.delivery_id AND made.attempt < asked.attempt
    ORDER BY made.attempt DESC
    LIMIT 1) AS before
