-- Webhooks in the order in which they were accepted. `checksum` covers the columns before it.
CREATE TABLE IF NOT EXISTS spooled (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    spooled_at_s REAL NOT NULL,
    checksum INTEGER NOT NULL
);
