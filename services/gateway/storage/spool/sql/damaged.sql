-- Rows that are not what was written. They stay here as they are, until a person discards them.
CREATE TABLE IF NOT EXISTS damaged (
    seq INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    job_id, event_type, headers, body, spooled_at_s, checksum
);
