-- How many of these webhooks have more than one attempt that completed. None ever should.
SELECT count(*) FROM (
    SELECT delivery_id
    FROM webhook_delivery_attempts
    WHERE delivery_id = ANY ($1::uuid[])
      AND delivery_id BETWEEN (SELECT min(u) FROM unnest($1::uuid[]) AS u)
                          AND (SELECT max(u) FROM unnest($1::uuid[]) AS u)
      AND outcome = 'completed'
    GROUP BY delivery_id
    HAVING count(*) > 1
) AS twice
