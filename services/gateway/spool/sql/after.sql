-- The oldest webhooks behind a place in the line. The reader stops when it has enough bytes.
SELECT seq, job_id, event_type, headers, body FROM spooled WHERE seq > ? ORDER BY seq LIMIT ?
