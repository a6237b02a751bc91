-- $3 webhooks spread over the time from $1 to $2: of 200 organisations the first has half. One in a
-- hundred is a dead letter with a payload of 17 kB, three in four of those unresolved; a few are
-- duplicates, a few took a second attempt. The other payloads have about 300 bytes.
INSERT INTO webhook_delivery_log (
    id, org_id, endpoint_id, event_type, event_data, status, attempts, max_attempts, created_at,
    last_attempt_at, completed_at, error_class, error_message, call_id, duplicate_of, resolution,
    resolved_at)
SELECT made.id, made.org_id, 'default', made.event_type,
       jsonb_build_object('message', jsonb_build_object(
           'type', made.event_type,
           'timestamp', made.ms,
           'call', jsonb_build_object('id', made.call_id, 'type', 'inboundPhoneCall'),
           'text', CASE WHEN made.status = 'dead_letter' THEN repeat('a word or two ', 1200)
                        ELSE repeat('a word ', 18) END)),
       made.status, made.attempts, 4, made.at,
       made.at + interval '20 milliseconds' + made.attempts * interval '2 seconds',
       CASE WHEN made.status = 'completed' THEN made.at + interval '20 milliseconds' END,
       CASE WHEN made.status = 'dead_letter'
            THEN ('{TimeoutError,ConnectionError,ValueError,HandlerError}'::text[])[made.dice / 12 % 4 + 1] END,
       CASE WHEN made.status = 'dead_letter' THEN 'The handler gave up after ' || made.dice || ' ms.' END,
       made.call_id,
       CASE WHEN made.status = 'duplicate' THEN made.id END,
       CASE WHEN made.status = 'dead_letter' AND made.dice / 48 % 4 = 0 THEN 'discarded' END,
       CASE WHEN made.status = 'dead_letter' AND made.dice / 48 % 4 = 0 THEN made.at + interval '1 hour' END
FROM (
    SELECT (lpad(to_hex(drawn.ms), 12, '0') || '7' || substr(drawn.noise, 2, 3) || '8'
            || substr(drawn.noise, 5, 15))::uuid AS id,
           ('00000000-0000-4000-8000-' || lpad(to_hex(CASE
               WHEN drawn.org < 0.5 THEN 1
               ELSE 2 + floor((drawn.org - 0.5) * 2 * 199)::integer END), 12, '0'))::uuid AS org_id,
           ('{status-update,status-update,status-update,transcript,transcript,speech-update,'
            'conversation-update,end-of-call-report,tool-calls,hang,model-output,'
            'user-interrupted}'::text[])[drawn.dice % 12 + 1] AS event_type,
           CASE WHEN drawn.fate < 0.01 THEN 'dead_letter'
                WHEN drawn.fate < 0.015 THEN 'duplicate'
                ELSE 'completed' END AS status,
           CASE WHEN drawn.fate < 0.01 THEN 4 WHEN drawn.fate < 0.015 THEN 0
                WHEN drawn.fate < 0.03 THEN 2 ELSE 1 END AS attempts,
           'call-' || drawn.ms / 60000 || '-' || drawn.dice % 7 AS call_id,
           drawn.ms, drawn.dice, to_timestamp(drawn.ms / 1000.0) AS at
    FROM (
        SELECT (extract(epoch FROM $1::timestamptz) * 1000)::bigint
                   + (n - 1) * (extract(epoch FROM $2::timestamptz - $1) * 1000)::bigint / $3 AS ms,
               md5(random()::text) AS noise, random() AS org, random() AS fate,
               floor(random() * 5040)::integer AS dice
        FROM generate_series(1, $3::bigint) AS n
    ) AS drawn
) AS made
