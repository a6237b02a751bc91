-- Whether this webhook is stored at this sequence number.
SELECT count(*) FROM spooled WHERE seq = ? AND job_id = ?
