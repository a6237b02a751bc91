-- The log's rows for these events, whether or not their senders got an answer.
SELECT log.job_id, log.call_id AS event, log.status, log.attempts, made.completions,
       extract(epoch FROM coalesce(log.completed_at, log.last_attempt_at))::float8 AS finished_at
FROM webhook_delivery_log AS log
LEFT JOIN LATERAL (
    SELECT count(*) AS completions
    FROM webhook_delivery_attempts AS attempt
    WHERE attempt.delivery_id = log.id AND attempt.outcome = 'completed'
) AS made ON true
WHERE log.call_id = ANY ($1::text[]) AND log.forward IS NULL
