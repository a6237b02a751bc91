-- How many of these webhooks have more than one completed attempt. This should always be 0.
SELECT count(*) FROM (
    SELECT delivery_id
    FROM webhook_delivery_attempts
    WHERE delivery_id = ANY ($1::uuid[])
      AND delivery_id BETWEEN $2 AND $3
      AND outcome = 'completed'
    GROUP BY delivery_id
    HAVING count(*) > 1
) AS twice
