-- One webhook, behind all others.
INSERT INTO spooled (job_id, event_type, headers, body, spooled_at_s, checksum)
VALUES (?, ?, ?, ?, ?, ?)
