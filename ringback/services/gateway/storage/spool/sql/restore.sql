-- Restores one webhook of a quarantined file at its sequence number, unless that is taken.
INSERT INTO spooled (seq, job_id, event_type, headers, body, spooled_at_s, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (seq) DO NOTHING
