-- One webhook of a quarantined file, at the position that it had there, unless that is taken.
INSERT INTO spooled (seq, job_id, event_type, headers, body, spooled_at_s, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (seq) DO NOTHING
