-- The damaged rows, without their bodies.
SELECT seq, reason, job_id, event_type, length(body), spooled_at_s FROM damaged ORDER BY seq
