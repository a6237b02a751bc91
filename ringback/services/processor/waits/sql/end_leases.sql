-- Delete the waits of $1, whose messages are published, and end the lease of those of $2, which are
-- published again after 1, 2, 4 and up to 64 seconds, or half as long again: not all at the same time,
-- because one that the broker refuses ends the channel of all. A row that another processor has leased
-- since, or that is for another wait now, does not have the lease $3.
WITH leased AS MATERIALIZED (
    -- In the order in which waits are written, so that the two cannot deadlock.
    SELECT delivery_id FROM webhook_waits
    WHERE delivery_id = ANY ($1::uuid[] || $2::uuid[]) AND leased_until = $3
    ORDER BY delivery_id FOR UPDATE
), deleted AS (
    DELETE FROM webhook_waits AS wait USING leased
    WHERE wait.delivery_id = leased.delivery_id AND wait.delivery_id = ANY ($1::uuid[])
)
UPDATE webhook_waits AS wait
SET leased_until = NULL, failures = least(wait.failures + 1, 1000),
    publish_after = clock_timestamp()
        + power(2, least(wait.failures, 6)) * (1 + random() / 2) * interval '1 second'
FROM leased
WHERE wait.delivery_id = leased.delivery_id AND wait.delivery_id <> ALL ($1::uuid[])
