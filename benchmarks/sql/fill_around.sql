-- What the console reads besides the log that `fill_day.sql` fills: dead letters that were retried, webhooks
-- that wait, changes, retry runs, and the endpoints of a gateway that reports.
SET session_replication_role = replica;

WITH chosen AS MATERIALIZED (
    SELECT log.*, (left(webhook_id_at(resolved_at)::text, 13) || '-7' || substr(md5(id::text), 1, 3)
                   || '-8' || substr(md5(id::text), 4, 3) || '-' || substr(md5(id::text), 7, 12))::uuid
                   AS new_id
    FROM webhook_delivery_log AS log
    WHERE error_class IS NOT NULL AND resolution = 'discarded'
      AND resolved_at < now() AND ascii(right(id::text, 1)) % 2 = 0
), decided AS (
    UPDATE webhook_delivery_log AS log
    SET resolution = 'retried', retried_as = chosen.new_id
    FROM chosen WHERE log.id = chosen.id
), retried AS (
    INSERT INTO webhook_retries (
        original, new_id, org_id, actor, role, reason, received_at, created_at, published_at)
    SELECT id, new_id, org_id, 'ada', 'service', 'The shop is back.', created_at, resolved_at,
           resolved_at
    FROM chosen
), audited AS (
    INSERT INTO webhook_audit (at, actor, role, org_id, action, job_id, reason, details)
    SELECT resolved_at, 'ada', 'service', org_id, 'retry', id, 'The shop is back.',
           jsonb_build_object('new_job_id', new_id)
    FROM chosen
)
INSERT INTO webhook_delivery_log (
    id, org_id, endpoint_id, event_type, event_data, status, attempts, max_attempts, created_at,
    last_attempt_at, completed_at, call_id, retry_of)
SELECT new_id, org_id, endpoint_id, event_type, event_data, 'completed', 1, 4, resolved_at,
       resolved_at, resolved_at, call_id, id
FROM chosen;

-- Of the last half hour, some failed once and wait for their next attempt.
WITH failed AS (
    UPDATE webhook_delivery_log
    SET status = 'failed', error_class = 'TimeoutError', error_message = 'The handler gave up.',
        completed_at = NULL
    WHERE id IN (SELECT id FROM webhook_delivery_log
                 WHERE status = 'completed' ORDER BY id DESC LIMIT 5000)
    RETURNING *
)
INSERT INTO webhook_waits (delivery_id, attempt, org_id, event_type, reason, due_at, headers, body)
SELECT id, 2, org_id, event_type, 'retry', now() + random() * interval '1 day', '{}', '\x7b7d'
FROM failed;

INSERT INTO webhook_audit (at, actor, role, org_id, action, reason)
SELECT now() - random() * interval '30 days', ('{ada,grace,eve}'::text[])[n % 3 + 1], 'service',
       CASE WHEN n % 4 > 0 THEN
           ('00000000-0000-4000-8000-' || lpad(to_hex(1 + n % 200), 12, '0'))::uuid END,
       ('{discard,pause,resume,set_destination}'::text[])[n % 4 + 1], 'An incident.'
FROM generate_series(1, 100000) AS n;

INSERT INTO webhook_retry_runs (
    id, org_id, kind, include_replays, max_retries, rate_per_second, stop_after_failures, actor, role,
    reason, state, message, matched, matched_is_minimum, retried, completed, position, until_id,
    created_at, updated_at, ended_at)
SELECT (left(webhook_id_at(at)::text, 13) || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
       CASE WHEN n % 3 > 0 THEN
           ('00000000-0000-4000-8000-' || lpad(to_hex(n % 3), 12, '0'))::uuid END,
       'dead_letters', false, 1000, 10, 3, 'ada', 'service', 'The shop is back.', 'finished', 'Done.',
       100, false, 100, 99, webhook_id_at(at), webhook_id_at(at), at, at, at
FROM (SELECT n, now() - n * interval '1 hour' AS at FROM generate_series(1, 700) AS n) AS times;

INSERT INTO webhook_gateways (id, host, started_at, seen_at, endpoint_count, file_problems)
VALUES ('00000000-0000-4000-8000-00000000000a', 'gateway-1', now(), now(), 200, '{}');
INSERT INTO webhook_gateway_endpoints (gateway_id, endpoint_id, org_id, since, declared)
SELECT '00000000-0000-4000-8000-00000000000a', 'endpoint-' || n,
       ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, now(),
       '{"is_enabled": true, "is_built_in": false, "event_types": [], "credential_kinds": ["secret"],
         "questions": [], "forwards": [], "is_cut": false}'
FROM generate_series(1, 200) AS n;
INSERT INTO webhook_gateway_refusals (
    gateway_id, endpoint_id, org_id, reason, status, count, first_at, last_at)
SELECT gateway_id, endpoint_id, org_id, reason, 401, 7, now(), now()
FROM webhook_gateway_endpoints, unnest('{bad_credential,unknown_event_type}'::text[]) AS reason;

RESET session_replication_role;
