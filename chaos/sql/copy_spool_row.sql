-- The oldest webhook once more at the end of the line.
INSERT INTO spooled (job_id, event_type, headers, body, spooled_at_s, checksum)
SELECT job_id, event_type, headers, body, spooled_at_s, checksum FROM spooled ORDER BY seq LIMIT 1
