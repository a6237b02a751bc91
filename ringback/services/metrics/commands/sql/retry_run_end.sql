-- End the run $1, leased by $2, with its row of the audit log. A null keeps what the run has.
WITH ended AS (
    UPDATE webhook_retry_runs
    SET retried = coalesce($3, retried), completed = coalesce($4, completed),
        failed_again = coalesce($5, failed_again), skipped = coalesce($6, skipped),
        unfinished = coalesce($7, unfinished), position = coalesce($8, position),
        state = $9, message = coalesce($10, message), allowed_rate = 0,
        updated_at = clock_timestamp(), ended_at = clock_timestamp(), leased_until = NULL
    WHERE id = $1 AND lease_owner = $2 AND ended_at IS NULL
    RETURNING *
)
INSERT INTO webhook_audit (actor, role, org_id, action, reason, details)
SELECT actor, role, org_id, 'bulk_retry_ended', reason, jsonb_build_object(
    'run', id, 'state', state, 'message', message, 'retried', retried, 'completed', completed,
    'failed_again', failed_again, 'skipped', skipped)
FROM ended
