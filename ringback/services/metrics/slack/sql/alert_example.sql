-- What a message shows of one dead letter: its attempts and its error, and nothing of its payload.
SELECT log.attempts, log.max_attempts, log.error_message,
       (SELECT trace_id FROM webhook_delivery_attempts AS attempt
        WHERE attempt.delivery_id = log.id
        ORDER BY attempt.attempt DESC LIMIT 1) AS trace_id
FROM webhook_delivery_log AS log
WHERE log.id = $1
