-- Rows that differ from what was written. They are kept until someone discards them.
CREATE TABLE IF NOT EXISTS damaged (
    seq INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    job_id, event_type, headers, body, spooled_at_s, checksum
);
