-- The id of the webhook that is $3 after $1, and up to $2: the end of what one statement reads. The
-- range of orgs is for the planner.
SELECT id FROM webhook_delivery_log
WHERE id > $1 AND id <= $2 AND org_id BETWEEN $4 AND $5
ORDER BY id
OFFSET $3
LIMIT 1
