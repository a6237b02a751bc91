-- How many rows each life of a gateway has in the log, to be held against what it says it accepted.
--
-- Counted as the statistics are: inserts add delta rows, the folder sums them up. A row counts once,
-- whoever wrote it, and goes on counting when its day is dropped. Manual retries are not counted:
-- nobody sent them.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_gateway_rows_deltas (
    gateway_instance_id uuid NOT NULL,
    inserted     integer NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 1000000
);

CREATE TABLE webhook_gateway_rows (
    gateway_instance_id uuid PRIMARY KEY,
    inserted     bigint NOT NULL
) WITH (fillfactor = 50);

COMMENT ON TABLE webhook_gateway_rows IS
    'Rows of the log by the life of the gateway that accepted them, dropped ones included.';

CREATE FUNCTION webhook_gateway_rows_after_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO webhook_gateway_rows_deltas
    SELECT gateway_instance_id, count(*)
    FROM new_rows
    WHERE retry_of IS NULL AND gateway_instance_id IS NOT NULL
    GROUP BY gateway_instance_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER webhook_gateway_rows_inserted AFTER INSERT ON webhook_delivery_log
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION webhook_gateway_rows_after_insert();

-- Moves all deltas into the sums; no more than one session at a time does. Lives are few.
CREATE FUNCTION fold_webhook_gateway_rows() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('fold_webhook_gateway_rows')) THEN
        RETURN;
    END IF;
    WITH folded AS (
        DELETE FROM webhook_gateway_rows_deltas RETURNING *
    )
    INSERT INTO webhook_gateway_rows AS rows
    SELECT gateway_instance_id, sum(inserted) FROM folded GROUP BY gateway_instance_id ORDER BY gateway_instance_id
    ON CONFLICT (gateway_instance_id) DO UPDATE SET inserted = rows.inserted + excluded.inserted;
END
$$;

-- What the lives that wrote to the ledger in the last 48 hours say they accepted, and how much of it
-- has no row. A life is held against itself: one that has more rows than it said, because it died
-- before it said so, does not make up for another.
--
-- From life to life by the index: the ledger has a row for each second in which one accepted.
CREATE FUNCTION webhook_ledger() RETURNS TABLE (accepted bigint, deficit bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE lives AS (
        (SELECT gateway_instance_id FROM webhook_gateway_ledger ORDER BY gateway_instance_id LIMIT 1)
        UNION ALL
        SELECT (SELECT ledger.gateway_instance_id FROM webhook_gateway_ledger AS ledger
                WHERE ledger.gateway_instance_id > lives.gateway_instance_id
                ORDER BY ledger.gateway_instance_id LIMIT 1)
        FROM lives WHERE lives.gateway_instance_id IS NOT NULL
    ), said AS (
        SELECT newest.gateway_instance_id, newest.accepted
        FROM lives
        CROSS JOIN LATERAL (
            SELECT gateway_instance_id, accepted, written_at FROM webhook_gateway_ledger AS ledger
            WHERE ledger.gateway_instance_id = lives.gateway_instance_id
            ORDER BY ledger.accepted DESC LIMIT 1
        ) AS newest
        WHERE newest.written_at > clock_timestamp() - interval '48 hours'
    ), counted AS (
        SELECT said.accepted,
               coalesce((SELECT rows.inserted FROM webhook_gateway_rows AS rows
                         WHERE rows.gateway_instance_id = said.gateway_instance_id), 0)
               + coalesce((SELECT sum(delta.inserted) FROM webhook_gateway_rows_deltas AS delta
                           WHERE delta.gateway_instance_id = said.gateway_instance_id), 0) AS inserted
        FROM said
    )
    SELECT coalesce(sum(counted.accepted), 0)::bigint,
           coalesce(sum(greatest(counted.accepted - counted.inserted, 0)), 0)::bigint
    FROM counted
$$;

-- The sums of a life are of use for as long as its ledger.
CREATE OR REPLACE FUNCTION prune_webhook_ledger(retention_days integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM webhook_gateway_ledger AS older
    USING webhook_gateway_ledger AS newer
    WHERE newer.gateway_instance_id = older.gateway_instance_id AND newer.accepted > older.accepted
      AND older.written_at < now() - interval '1 day';
    DELETE FROM webhook_gateway_ledger
    WHERE written_at < now() - make_interval(days => greatest(retention_days, 1));
    DELETE FROM webhook_gateway_rows AS rows
    WHERE rows.gateway_instance_id
              < webhook_id_at(now() - make_interval(days => greatest(retention_days, 2)))
      AND NOT EXISTS (SELECT FROM webhook_gateway_ledger AS ledger
                      WHERE ledger.gateway_instance_id = rows.gateway_instance_id)
$$;

-- How many days from tomorrow on have their partitions, without a gap; -1 when today has none.
CREATE FUNCTION webhook_partition_days_ahead() RETURNS integer
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT coalesce(min(ahead) FILTER (
        WHERE to_regclass('webhook_delivery_log' || suffix) IS NULL
           OR to_regclass('webhook_delivery_attempts' || suffix) IS NULL
    ), 366) - 1
    FROM (
        SELECT ahead,
               to_char((clock_timestamp() AT TIME ZONE 'UTC')::date + ahead, '_YYYYMMDD') AS suffix
        FROM generate_series(0, 365) AS ahead
    ) AS days
$$;

-- How long, at least, the oldest webhook that is pending, and the oldest that waits for its next
-- attempt, have been there, in seconds; 0 where there is none. By the minute, beyond 47 hours by the
-- hour: the log has no index on statuses.
CREATE FUNCTION webhook_oldest_ages()
RETURNS TABLE (pending double precision, failed double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH buckets AS (
        SELECT bucket + interval '1 minute' AS bucket_end, pending, failed FROM webhook_stats
        WHERE org_id = 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND grain = 'minute'
          AND (pending > 0 OR failed > 0)
        UNION ALL
        SELECT bucket + interval '1 hour', pending, failed FROM webhook_stats
        WHERE org_id = 'ffffffff-ffff-ffff-ffff-ffffffffffff' AND grain = 'hour'
          AND bucket < webhook_stats_minutes_from()
          AND (pending > 0 OR failed > 0)
    )
    SELECT coalesce(extract(epoch FROM greatest(
               clock_timestamp() - min(bucket_end) FILTER (WHERE pending > 0), interval '0')), 0),
           coalesce(extract(epoch FROM greatest(
               clock_timestamp() - min(bucket_end) FILTER (WHERE failed > 0), interval '0')), 0)
    FROM buckets
$$;

REVOKE EXECUTE ON FUNCTION
    webhook_gateway_rows_after_insert, fold_webhook_gateway_rows, webhook_ledger,
    webhook_partition_days_ahead, webhook_oldest_ages
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fold_webhook_gateway_rows TO ringback_metrics;
GRANT EXECUTE ON FUNCTION
    webhook_ledger, webhook_partition_days_ahead, webhook_oldest_ages
TO ringback_service;

-- Those of the past.
INSERT INTO webhook_gateway_rows
SELECT gateway_instance_id, count(*) FROM webhook_delivery_log
WHERE retry_of IS NULL AND gateway_instance_id IS NOT NULL
GROUP BY gateway_instance_id;
