-- The organisations of the last two days, the busiest first.
SELECT org_id::text
FROM webhook_stats
WHERE grain = 'hour' AND bucket >= now() - interval '2 days'
  AND org_id <> 'ffffffff-ffff-ffff-ffff-ffffffffffff'
GROUP BY org_id
ORDER BY sum(completed + failed + dead_letter + pending) DESC, org_id
LIMIT 200
