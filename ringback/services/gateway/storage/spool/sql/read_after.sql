-- The oldest webhooks after a sequence number. The reader stops when it has enough bytes.
SELECT seq, job_id, event_type, headers, body, spooled_at_s, checksum
FROM spooled WHERE seq > ? ORDER BY seq LIMIT ?
