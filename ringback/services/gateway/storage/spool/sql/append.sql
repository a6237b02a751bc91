-- Appends one webhook.
INSERT INTO spooled (job_id, event_type, headers, body, spooled_at_s, checksum)
VALUES (?, ?, ?, ?, ?, ?)
