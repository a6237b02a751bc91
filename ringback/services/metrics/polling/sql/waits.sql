-- How many webhooks wait for each reason, and by how many seconds the oldest of them is overdue. An
-- index has both columns.
SELECT reason, count(*) AS count,
       coalesce(greatest(extract(epoch FROM clock_timestamp() - min(due_at)), 0), 0)::double precision
           AS overdue_s
FROM webhook_waits
GROUP BY reason
