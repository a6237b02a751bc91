-- Keeps a damaged row unchanged, with the reason why it cannot be published.
INSERT OR REPLACE INTO damaged (
    reason, seq, job_id, event_type, headers, body, spooled_at_s, checksum
)
SELECT ?, seq, job_id, event_type, headers, body, spooled_at_s, checksum FROM spooled WHERE seq = ?
