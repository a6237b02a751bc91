-- Which of these webhooks have not ended; one without a row has not.
SELECT asked.id
FROM unnest($1::uuid[]) AS asked (id)
LEFT JOIN webhook_delivery_log AS log ON log.id = asked.id AND log.id BETWEEN $2 AND $3
WHERE log.status IS NULL OR log.status NOT IN ('completed', 'dead_letter', 'duplicate')
