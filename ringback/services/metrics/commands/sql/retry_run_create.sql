-- Add a run and its row of the audit log. No row is returned if this actor's request added one before.
WITH run AS (
    INSERT INTO webhook_retry_runs (
        id, org_id, kind, event_type, error_class, call_id, start_time, end_time, include_replays,
        max_retries, rate_per_second, stop_after_failures, actor, role, reason, request_id, matched,
        matched_is_minimum, position, until_id, followed_until)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
            $20, clock_timestamp() + $21::interval)
    ON CONFLICT (actor, request_id) WHERE request_id IS NOT NULL DO NOTHING
    RETURNING *
), audited AS (
    INSERT INTO webhook_audit (actor, role, org_id, action, reason, details)
    SELECT actor, role, org_id, 'bulk_retry', reason, jsonb_build_object(
        'run', id, 'kind', kind, 'matched', matched, 'limit', max_retries,
        'rate_per_second', rate_per_second, 'stop_after_failures', stop_after_failures,
        'filter', jsonb_strip_nulls(jsonb_build_object(
            'event_type', event_type, 'error_class', error_class, 'call_id', call_id,
            'start_time', start_time, 'end_time', end_time)))
    FROM run
)
SELECT * FROM run
