-- How many webhooks there are of each kind, without counting them.
--
-- Every statement that changes the log inserts what it changed as delta rows, in its transaction.
-- One session at a time folds the deltas into buckets of creation time. A reading is buckets plus
-- deltas in one snapshot, so it equals a count of the log at that moment. Counters updated in place
-- would make all writers queue for one row.
--
-- `pending` includes processing; `attempts` counts those of completed, failed and dead webhooks.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_stats_deltas (
    org_id      uuid NOT NULL,
    minute      timestamptz NOT NULL,
    event_type  text NOT NULL,
    completed   integer NOT NULL,
    failed      integer NOT NULL,
    dead_letter integer NOT NULL,
    pending     integer NOT NULL,
    duplicates  integer NOT NULL,
    attempts    integer NOT NULL
) WITH (
    -- Rows live for a second, and a reading has to skip the dead ones.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 1000000
);

COMMENT ON TABLE webhook_stats_deltas IS
    'Changes of the log that no bucket has yet. Rows are never updated, only folded.';

CREATE TABLE webhook_stats (
    org_id      uuid NOT NULL,
    grain       text NOT NULL CHECK (grain IN ('minute', 'hour')),
    bucket      timestamptz NOT NULL,
    event_type  text NOT NULL,
    completed   bigint NOT NULL,
    failed      bigint NOT NULL,
    dead_letter bigint NOT NULL,
    pending     bigint NOT NULL,
    duplicates  bigint NOT NULL,
    attempts    bigint NOT NULL,
    PRIMARY KEY (org_id, grain, bucket, event_type)
) WITH (
    -- The newest buckets are updated every second; with room in the page that stays HOT.
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02
);

COMMENT ON TABLE webhook_stats IS
    'Webhooks by the minute (48 hours) and by the hour (31 days) in which they were created.';
COMMENT ON COLUMN webhook_stats.org_id IS
    'ffffffff-ffff-ffff-ffff-ffffffffffff: the sum of all orgs.';

SELECT enable_webhook_row_security(stats_table), create_webhook_policies(stats_table)
FROM unnest(ARRAY['webhook_stats_deltas', 'webhook_stats']::regclass[]) AS stats_table;

GRANT SELECT ON webhook_stats, webhook_stats_deltas
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;

-- The oldest minute and the oldest hour that have buckets. Readings begin an hour, or a day, later.
CREATE FUNCTION webhook_stats_minutes_from() RETURNS timestamptz
LANGUAGE sql VOLATILE AS $$
    SELECT date_trunc('hour', clock_timestamp() - interval '48 hours', 'UTC')
$$;

CREATE FUNCTION webhook_stats_hours_from() RETURNS timestamptz
LANGUAGE sql VOLATILE AS $$
    SELECT date_trunc('day', clock_timestamp() - interval '31 days', 'UTC')
$$;

---- Deltas

-- The triggers run with their owner's rights: a gateway may only insert into the log. They are on
-- the log as a whole; the retention deletes from its partitions, so it does not fire them.
CREATE FUNCTION webhook_stats_after_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO webhook_stats_deltas
    SELECT org_id, date_trunc('minute', created_at, 'UTC'), event_type,
           count(*) FILTER (WHERE status = 'completed'),
           count(*) FILTER (WHERE status = 'failed'),
           count(*) FILTER (WHERE status = 'dead_letter'),
           count(*) FILTER (WHERE status IN ('pending', 'processing')),
           count(*) FILTER (WHERE status = 'duplicate'),
           coalesce(sum(attempts) FILTER (WHERE status IN ('completed', 'failed', 'dead_letter')), 0)
    FROM new_rows
    GROUP BY 1, 2, 3;
    RETURN NULL;
END
$$;

CREATE TRIGGER webhook_stats_inserted AFTER INSERT ON webhook_delivery_log
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION webhook_stats_after_insert();

-- Values that a statement did not change cancel out and leave no delta.
CREATE FUNCTION webhook_stats_after_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO webhook_stats_deltas
    SELECT changed.*
    FROM (
        SELECT org_id, date_trunc('minute', created_at, 'UTC') AS minute, event_type,
               coalesce(sum(sign) FILTER (WHERE status = 'completed'), 0) AS completed,
               coalesce(sum(sign) FILTER (WHERE status = 'failed'), 0) AS failed,
               coalesce(sum(sign) FILTER (WHERE status = 'dead_letter'), 0) AS dead_letter,
               coalesce(sum(sign) FILTER (WHERE status IN ('pending', 'processing')), 0) AS pending,
               coalesce(sum(sign) FILTER (WHERE status = 'duplicate'), 0) AS duplicates,
               coalesce(sum(sign * attempts)
                   FILTER (WHERE status IN ('completed', 'failed', 'dead_letter')), 0) AS attempts
        FROM (
            SELECT 1 AS sign, org_id, created_at, event_type, status, attempts FROM new_rows
            UNION ALL
            SELECT -1, org_id, created_at, event_type, status, attempts FROM old_rows
        ) AS both_sides
        GROUP BY 2, 1, 3
    ) AS changed
    WHERE (completed, failed, dead_letter, pending, duplicates, attempts) <> (0, 0, 0, 0, 0, 0);
    RETURN NULL;
END
$$;

CREATE TRIGGER webhook_stats_updated AFTER UPDATE ON webhook_delivery_log
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION webhook_stats_after_update();

---- Buckets

-- Whether no other session folds, prunes or rebuilds; none will until this transaction ends.
CREATE FUNCTION try_lock_webhook_stats() RETURNS boolean
LANGUAGE sql AS $$
    SELECT pg_try_advisory_xact_lock(hashtext('fold_webhook_stats'))
$$;

-- Moves at most `p_limit` deltas into the buckets and returns how many: fewer than `p_limit` when
-- there were no more, or when another session is folding.
--
-- A webhook that changes after the bucket of its minute was pruned counts only in its hour.
CREATE FUNCTION fold_webhook_stats(p_limit integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    minutes_from timestamptz := webhook_stats_minutes_from();
    hours_from   timestamptz := webhook_stats_hours_from();
    moved        integer;
BEGIN
    IF NOT try_lock_webhook_stats() THEN
        RETURN 0;
    END IF;
    WITH folded AS (
        DELETE FROM webhook_stats_deltas
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM webhook_stats_deltas LIMIT p_limit))
        RETURNING *
    ), summed AS (
        SELECT org_id, minute, event_type,
               sum(completed) AS completed, sum(failed) AS failed, sum(dead_letter) AS dead_letter,
               sum(pending) AS pending, sum(duplicates) AS duplicates, sum(attempts) AS attempts
        FROM folded
        GROUP BY org_id, minute, event_type
    ), written AS (
        INSERT INTO webhook_stats AS stats
        SELECT side.org_id, side.grain, side.bucket, summed.event_type,
               sum(completed), sum(failed), sum(dead_letter), sum(pending), sum(duplicates),
               sum(attempts)
        FROM summed
        CROSS JOIN LATERAL (VALUES
            (summed.org_id, 'minute', minute),
            (summed.org_id, 'hour', date_trunc('hour', minute, 'UTC')),
            ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'minute', minute),
            ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'hour', date_trunc('hour', minute, 'UTC'))
        ) AS side (org_id, grain, bucket)
        WHERE side.bucket >= CASE side.grain WHEN 'minute' THEN minutes_from ELSE hours_from END
        GROUP BY 1, 2, 3, 4
        ORDER BY 3, 1, 2, 4
        ON CONFLICT (org_id, grain, bucket, event_type) DO UPDATE
        SET completed   = stats.completed + excluded.completed,
            failed      = stats.failed + excluded.failed,
            dead_letter = stats.dead_letter + excluded.dead_letter,
            pending     = stats.pending + excluded.pending,
            duplicates  = stats.duplicates + excluded.duplicates,
            attempts    = stats.attempts + excluded.attempts
    )
    SELECT count(*) INTO moved FROM folded;
    RETURN moved;
END
$$;

-- Deletes the buckets that no reading needs any more; null when another session is folding.
CREATE FUNCTION prune_webhook_stats() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    minutes_from timestamptz := webhook_stats_minutes_from();
    hours_from   timestamptz := webhook_stats_hours_from();
    pruned       bigint;
BEGIN
    IF NOT try_lock_webhook_stats() THEN
        RETURN NULL;
    END IF;
    DELETE FROM webhook_stats
    WHERE (grain = 'minute' AND bucket < minutes_from) OR (grain = 'hour' AND bucket < hours_from);
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
$$;

-- Rebuilds all buckets from the log, for a log that was filled with the triggers off. Writers and
-- readers need not stop: one snapshot decides which deltas are in the count; the others remain.
CREATE FUNCTION rebuild_webhook_stats() RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    minutes_from timestamptz := webhook_stats_minutes_from();
    hours_from   timestamptz := webhook_stats_hours_from();
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('fold_webhook_stats'));
    DELETE FROM webhook_stats;
    WITH deleted AS (
        DELETE FROM webhook_stats_deltas
    ), counted AS (
        SELECT org_id, event_type,
               date_trunc('hour', created_at, 'UTC') AS hour,
               CASE WHEN created_at >= minutes_from
                    THEN date_trunc('minute', created_at, 'UTC') END AS minute,
               count(*) FILTER (WHERE status = 'completed') AS completed,
               count(*) FILTER (WHERE status = 'failed') AS failed,
               count(*) FILTER (WHERE status = 'dead_letter') AS dead_letter,
               count(*) FILTER (WHERE status IN ('pending', 'processing')) AS pending,
               count(*) FILTER (WHERE status = 'duplicate') AS duplicates,
               coalesce(sum(attempts)
                   FILTER (WHERE status IN ('completed', 'failed', 'dead_letter')), 0) AS attempts
        FROM webhook_delivery_log
        WHERE id >= webhook_id_at(hours_from) AND created_at >= hours_from
        GROUP BY 1, 2, 3, 4
    )
    INSERT INTO webhook_stats
    SELECT side.org_id, side.grain, side.bucket, event_type,
           sum(completed), sum(failed), sum(dead_letter), sum(pending), sum(duplicates),
           sum(attempts)
    FROM counted
    CROSS JOIN LATERAL (VALUES
        (counted.org_id, 'minute', minute),
        (counted.org_id, 'hour', hour),
        ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'minute', minute),
        ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'hour', hour)
    ) AS side (org_id, grain, bucket)
    WHERE side.bucket IS NOT NULL
    GROUP BY 1, 2, 3, 4
    ORDER BY 3, 1, 2, 4;
END
$$;

---- Readings

-- The webhooks of an org (ffffffff-ffff-ffff-ffff-ffffffffffff: of all) by event type that were
-- created in the minutes that begin in [p_from, p_to). More than 47 hours ago both must be whole
-- hours; more than 30 days ago there is no data.
--
-- Whole hours are read from their buckets, the minutes before and after them from minute buckets.
CREATE FUNCTION webhook_stats_of(p_org uuid, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
    event_type text, completed bigint, failed bigint, dead_letter bigint, pending bigint,
    duplicates bigint, attempts bigint
)
LANGUAGE sql STABLE AS $$
    WITH edges AS (
        SELECT date_trunc('hour', p_from + interval '1 hour' - interval '1 microsecond', 'UTC')
                   AS first_hour,
               date_trunc('hour', p_to, 'UTC') AS last_hour
    ), parts AS (
        SELECT stats.event_type, stats.completed, stats.failed, stats.dead_letter, stats.pending,
               stats.duplicates, stats.attempts
        FROM webhook_stats AS stats
        WHERE stats.org_id = p_org AND stats.grain = 'hour'
          AND stats.bucket >= (SELECT first_hour FROM edges)
          AND stats.bucket < (SELECT last_hour FROM edges)
        UNION ALL
        SELECT stats.event_type, stats.completed, stats.failed, stats.dead_letter, stats.pending,
               stats.duplicates, stats.attempts
        FROM webhook_stats AS stats
        WHERE stats.org_id = p_org AND stats.grain = 'minute'
          AND stats.bucket >= p_from
          AND stats.bucket < (SELECT least(first_hour, p_to) FROM edges)
        UNION ALL
        SELECT stats.event_type, stats.completed, stats.failed, stats.dead_letter, stats.pending,
               stats.duplicates, stats.attempts
        FROM webhook_stats AS stats
        WHERE stats.org_id = p_org AND stats.grain = 'minute'
          AND stats.bucket >= (SELECT greatest(first_hour, last_hour) FROM edges)
          AND stats.bucket < p_to
        UNION ALL
        SELECT delta.event_type, delta.completed, delta.failed, delta.dead_letter, delta.pending,
               delta.duplicates, delta.attempts
        FROM webhook_stats_deltas AS delta
        WHERE (delta.org_id = p_org OR p_org = 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          AND delta.minute >= p_from AND delta.minute < p_to
    )
    SELECT parts.event_type, sum(parts.completed)::bigint, sum(parts.failed)::bigint,
           sum(parts.dead_letter)::bigint, sum(parts.pending)::bigint,
           sum(parts.duplicates)::bigint, sum(parts.attempts)::bigint
    FROM parts
    GROUP BY parts.event_type
    HAVING (sum(parts.completed), sum(parts.failed), sum(parts.dead_letter), sum(parts.pending),
            sum(parts.duplicates)) <> (0, 0, 0, 0, 0)
$$;

-- The least possible age in seconds of the oldest pending webhook, and of the oldest one that waits
-- for its next attempt, without those that wait in the database; 0 where there is none. Exact to the
-- minute, beyond 47 hours to the hour, because the log has no index on the status.
CREATE FUNCTION webhook_oldest_ages()
RETURNS TABLE (pending double precision, failed double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    unfinished record;
    waiting    record;
BEGIN
    pending := 0;
    failed := 0;
    FOR unfinished IN
        SELECT bucket, bucket + ('1 ' || grain)::interval AS bucket_end,
               sum(stats.pending) AS pending, sum(stats.failed) AS failed
        FROM webhook_stats AS stats
        WHERE org_id = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
          AND (grain = 'minute' OR bucket < webhook_stats_minutes_from())
          AND (stats.pending > 0 OR stats.failed > 0)
        GROUP BY 1, 2
        ORDER BY 1
    LOOP
        EXIT WHEN pending > 0 AND failed > 0;
        SELECT count(*) FILTER (WHERE attempt = 1) AS pending,
               count(*) FILTER (WHERE attempt > 1) AS failed
        INTO STRICT waiting
        FROM webhook_waits
        WHERE delivery_id >= webhook_id_at(unfinished.bucket)
          AND delivery_id < webhook_id_at(unfinished.bucket_end)
          -- A forward is due at once: until it is attempted, it is late and not waiting.
          AND reason <> 'forward';
        IF pending = 0 AND unfinished.pending > waiting.pending THEN
            pending := greatest(
                extract(epoch FROM clock_timestamp() - unfinished.bucket_end), 0);
        END IF;
        IF failed = 0 AND unfinished.failed > waiting.failed THEN
            failed := greatest(extract(epoch FROM clock_timestamp() - unfinished.bucket_end), 0);
        END IF;
    END LOOP;
    RETURN NEXT;
END
$$;

REVOKE EXECUTE ON FUNCTION
    webhook_stats_minutes_from, webhook_stats_hours_from, webhook_stats_after_insert,
    webhook_stats_after_update, try_lock_webhook_stats, fold_webhook_stats, prune_webhook_stats,
    rebuild_webhook_stats, webhook_stats_of, webhook_oldest_ages
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fold_webhook_stats, prune_webhook_stats TO ringback_metrics;
GRANT EXECUTE ON FUNCTION webhook_stats_of
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;
GRANT EXECUTE ON FUNCTION webhook_oldest_ages TO ringback_service;
