-- Move webhooks to the dead letters; returns those that were not there before.
SELECT dead.delivery_id, dead.attempts, dead.error_class, dead.error_message,
       (SELECT made.outcome
        FROM webhook_delivery_attempts AS made
        WHERE made.delivery_id = dead.delivery_id
        ORDER BY made.attempt DESC
        LIMIT 1) AS last
FROM record_webhook_dead_letters(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) AS dead
