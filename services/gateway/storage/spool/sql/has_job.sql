-- Whether a position is taken by this webhook.
SELECT count(*) FROM spooled WHERE seq = ? AND job_id = ?
