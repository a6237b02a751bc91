-- Move some deltas into the buckets. Not waiting for the disk is safe: deltas and buckets change as
-- one, so a crash only undoes a folding, which is then done again.
SELECT fold_webhook_stats($1)
FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried
