-- The newest dead letters of the organisation that nobody has resolved. They have an index.
SELECT job_id AS "Job", event_type AS "Type", attempts AS "Attempts", error_class AS "Error",
       created_at AS "Accepted"
FROM webhook_delivery_log
WHERE org_id = '$org' AND is_unresolved
ORDER BY id DESC
LIMIT 20
