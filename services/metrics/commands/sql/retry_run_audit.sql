-- The start or the end of a bulk retry.
INSERT INTO webhook_audit (actor, role, org_id, action, reason, details)
VALUES ($1, $2, $3, $4, $5, $6::jsonb)
