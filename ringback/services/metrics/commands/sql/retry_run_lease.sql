-- Lease runs that have work to do for $4: at most $3, and none of $2, on which the replica $1 works
-- already. It may take its own leases again. Each org takes its turn: first the oldest run of each, then
-- the second ones. No org (null: all orgs) has more than $5 at a time, so that none occupies all replicas.
-- Runs that only have to end are counted apart, and those that are postponed (no owner) not at all.
WITH ranked AS (
    SELECT id, row_number() OVER (
        PARTITION BY org_id, state = 'stopping' OR followed_until < clock_timestamp() ORDER BY id
    ) AS place
    FROM webhook_retry_runs
    WHERE ended_at IS NULL AND (state <> 'paused' OR followed_until < clock_timestamp())
      AND (lease_owner IS NULL AND leased_until > clock_timestamp()) IS NOT TRUE
), due AS MATERIALIZED (
    SELECT run.id
    FROM webhook_retry_runs AS run
    JOIN ranked USING (id)
    WHERE ended_at IS NULL AND id <> ALL ($2::uuid[]) AND place <= $5
      AND (leased_until IS NULL OR leased_until < clock_timestamp() OR lease_owner = $1)
    ORDER BY place, id
    LIMIT $3
    FOR UPDATE OF run SKIP LOCKED
)
UPDATE webhook_retry_runs AS run
SET lease_owner = $1, leased_until = clock_timestamp() + $4::interval
FROM due
WHERE run.id = due.id
RETURNING run.*
