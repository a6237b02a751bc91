-- Add a code, which also deletes the expired ones; returns until when it is valid.
INSERT INTO webhook_console_codes (code_hash, role, org_id, subject)
VALUES ($1, $2, $3, $4)
RETURNING expires_at
