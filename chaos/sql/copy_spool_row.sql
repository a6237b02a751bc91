-- Copy the oldest webhook to the end of the queue.
INSERT INTO spooled (job_id, event_type, headers, body, spooled_at_s, checksum)
SELECT job_id, event_type, headers, body, spooled_at_s, checksum FROM spooled ORDER BY seq LIMIT 1
