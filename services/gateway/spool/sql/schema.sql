-- The spool's one table: webhooks in the order in which they were accepted.
CREATE TABLE IF NOT EXISTS spooled (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    spooled_at_s REAL NOT NULL
);
