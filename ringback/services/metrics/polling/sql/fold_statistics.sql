-- Move some deltas into the buckets. An asynchronous commit is safe: deltas and buckets change
-- together, so a crash only undoes a step that is then repeated.
SELECT fold_webhook_stats($1)
FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried
