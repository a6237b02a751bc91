-- About $3 webhooks with their attempts, in calls of 5 to 20 which end between $1 and $2. A call belongs
-- to one organisation; of 200 the first has 60 %. One webhook in a hundred is a dead letter with a
-- payload of 17 kB, three in four of those unresolved; one in 200 is a duplicate of the first of its
-- call; some took a second attempt. The other payloads have about 300 bytes.
WITH made AS MATERIALIZED (
    SELECT part.id, part.first_id, part.ms, part.dice, call.org_id,
           'call-' || call.noise AS call_id,
           to_timestamp(part.ms / 1000.0) AS at,
           ('{status-update,status-update,status-update,transcript,transcript,speech-update,'
            'conversation-update,end-of-call-report,tool-calls,hang,model-output,'
            'user-interrupted}'::text[])[part.dice % 12 + 1] AS event_type,
           CASE WHEN part.fate < 0.01 THEN 'dead_letter'
                WHEN part.fate < 0.015 AND part.id <> part.first_id THEN 'duplicate'
                ELSE 'completed' END AS status,
           CASE WHEN part.fate < 0.01 THEN 4
                WHEN part.fate < 0.015 AND part.id <> part.first_id THEN 0
                WHEN part.fate < 0.03 THEN 2 ELSE 1 END AS attempts,
           CASE WHEN part.fate < 0.01
                THEN ('{TimeoutError,ConnectionError,ValueError,HandlerError}'::text[])[part.dice / 12 % 4 + 1]
           END AS error_class
    FROM (
        SELECT (extract(epoch FROM $1::timestamptz) * 1000)::bigint
                   + n * (extract(epoch FROM $2::timestamptz - $1) * 1000)::bigint * 25 / 2 / $3 AS end_ms,
               5 + floor(random() * 16)::integer AS count,
               md5(random()::text) AS noise,
               ('00000000-0000-4000-8000-' || lpad(to_hex(CASE
                   WHEN random() < 0.6 THEN 1
                   ELSE 2 + floor(random() * 199)::integer END), 12, '0'))::uuid AS org_id
        FROM generate_series(1, $3::bigint * 2 / 25) AS n
        OFFSET 0
    ) AS call
    CROSS JOIN LATERAL (
        SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(noise_n, 2, 3) || '8'
                || substr(noise_n, 5, 15))::uuid AS id,
               first_value((lpad(to_hex(ms), 12, '0') || '7' || substr(noise_n, 2, 3) || '8'
                || substr(noise_n, 5, 15))::uuid) OVER (ORDER BY ms) AS first_id,
               ms, dice, fate
        FROM (
            SELECT call.end_ms - (call.count - n) * 15000 AS ms, md5(call.noise || n) AS noise_n,
                   random() AS fate, floor(random() * 5040)::integer AS dice
            FROM generate_series(1, call.count) AS n
        ) AS drawn
    ) AS part
), tried AS (
    INSERT INTO webhook_delivery_attempts (
        delivery_id, attempt, org_id, outcome, started_at, ended_at, error_class, error_message,
        trace_id, span_id)
    SELECT id, attempt, org_id, CASE WHEN is_good THEN 'completed' ELSE 'failed' END,
           started_at, started_at + interval '12 milliseconds',
           CASE WHEN NOT is_good THEN coalesce(error_class, 'TimeoutError') END,
           CASE WHEN NOT is_good THEN 'The handler gave up after ' || dice || ' ms.' END,
           md5(id::text), left(md5(id::text || attempt), 16)
    FROM made
    CROSS JOIN LATERAL (
        SELECT attempt, status = 'completed' AND attempt = attempts AS is_good,
               at + interval '5 milliseconds' + (attempt - 1) * interval '2 seconds' AS started_at
        FROM generate_series(1, attempts) AS attempt
    ) AS attempt
)
INSERT INTO webhook_delivery_log (
    id, org_id, endpoint_id, event_type, event_data, status, attempts, max_attempts, created_at,
    last_attempt_at, completed_at, error_class, error_message, call_id, duplicate_of, resolution,
    resolved_at)
SELECT id, org_id, 'default', event_type,
       jsonb_build_object('message', jsonb_build_object(
           'type', event_type,
           'timestamp', ms,
           'call', jsonb_build_object('id', call_id, 'type', 'inboundPhoneCall'),
           'text', CASE WHEN status = 'dead_letter' THEN repeat('a word or two ', 1200)
                        ELSE repeat('a word ', 18) END)),
       status, attempts, 4, at,
       at + interval '20 milliseconds' + greatest(attempts - 1, 0) * interval '2 seconds',
       CASE WHEN status = 'completed' THEN at + interval '20 milliseconds' END,
       error_class,
       CASE WHEN status = 'dead_letter' THEN 'The handler gave up after ' || dice || ' ms.' END,
       call_id,
       CASE WHEN status = 'duplicate' THEN first_id END,
       CASE WHEN status = 'dead_letter' AND dice / 48 % 4 = 0 THEN 'discarded' END,
       CASE WHEN status = 'dead_letter' AND dice / 48 % 4 = 0 THEN at + interval '1 hour' END
FROM made
ORDER BY id
