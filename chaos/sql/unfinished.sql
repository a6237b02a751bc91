-- Which of these webhooks have not come to their end; one that has no row has not.
SELECT asked.id
FROM unnest($1::uuid[]) AS asked (id)
LEFT JOIN webhook_delivery_log AS log ON log.id = asked.id AND log.id BETWEEN $2 AND $3
WHERE log.status IS NULL OR log.status NOT IN ('completed', 'dead_letter', 'duplicate')
