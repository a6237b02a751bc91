-- Dead letters that wait for a person. Every one has an error class, so a partial index finds them.
SELECT count(*)
FROM webhook_delivery_log
WHERE error_class IS NOT NULL AND status = 'dead_letter' AND resolution IS NULL
