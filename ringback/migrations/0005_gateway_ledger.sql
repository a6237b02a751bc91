-- How many webhooks each gateway instance accepted, and how many of them have a row in the log. A
-- deficit means that webhooks were lost on the way.
--
-- Rows are counted like the statistics: inserts add deltas, which are folded into sums. A row counts
-- once, whether the gateway or the processor wrote it, and still counts when its day is dropped.
-- Manual retries and forwards do not count: no gateway accepted them.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_gateway_ledger (
    gateway_instance_id uuid NOT NULL,
    written_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    accepted            bigint NOT NULL
);

CREATE INDEX webhook_gateway_ledger_instance
    ON webhook_gateway_ledger (gateway_instance_id, accepted);

CREATE TABLE webhook_gateway_rows_deltas (
    gateway_instance_id uuid NOT NULL,
    inserted            integer NOT NULL
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
    inserted            bigint NOT NULL
) WITH (fillfactor = 50);

COMMENT ON TABLE webhook_gateway_rows IS
    'Rows of the log by the gateway instance that accepted them, including dropped rows.';

GRANT INSERT (gateway_instance_id, accepted) ON webhook_gateway_ledger TO ringback_gateway;

CREATE FUNCTION webhook_gateway_rows_after_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO webhook_gateway_rows_deltas
    SELECT gateway_instance_id, count(*)
    FROM new_rows
    WHERE retry_of IS NULL AND forward_of IS NULL AND gateway_instance_id IS NOT NULL
    GROUP BY gateway_instance_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER webhook_gateway_rows_inserted AFTER INSERT ON webhook_delivery_log
REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION webhook_gateway_rows_after_insert();

-- Moves all deltas into the sums, in one session at a time. There are few instances.
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
    SELECT gateway_instance_id, sum(inserted) FROM folded
    GROUP BY gateway_instance_id ORDER BY gateway_instance_id
    ON CONFLICT (gateway_instance_id) DO UPDATE SET inserted = rows.inserted + excluded.inserted;
END
$$;

-- How many webhooks the instances of the last 48 hours accepted, and how many of these have no row.
-- The deficit is counted per instance: one with more rows than it reported, because it died before
-- reporting, does not make up for another.
--
-- The recursion goes from instance to instance by the index: the ledger has one row for each second
-- in which an instance accepted a webhook.
CREATE FUNCTION webhook_ledger() RETURNS TABLE (accepted bigint, deficit bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE instances AS (
        (SELECT gateway_instance_id FROM webhook_gateway_ledger ORDER BY gateway_instance_id LIMIT 1)
        UNION ALL
        SELECT (SELECT ledger.gateway_instance_id FROM webhook_gateway_ledger AS ledger
                WHERE ledger.gateway_instance_id > instances.gateway_instance_id
                ORDER BY ledger.gateway_instance_id LIMIT 1)
        FROM instances WHERE instances.gateway_instance_id IS NOT NULL
    ), reported AS (
        SELECT newest.gateway_instance_id, newest.accepted
        FROM instances
        CROSS JOIN LATERAL (
            SELECT gateway_instance_id, accepted, written_at FROM webhook_gateway_ledger AS ledger
            WHERE ledger.gateway_instance_id = instances.gateway_instance_id
            ORDER BY ledger.accepted DESC LIMIT 1
        ) AS newest
        WHERE newest.written_at > clock_timestamp() - interval '48 hours'
    ), counted AS (
        SELECT reported.accepted,
               coalesce((SELECT rows.inserted FROM webhook_gateway_rows AS rows
                         WHERE rows.gateway_instance_id = reported.gateway_instance_id), 0)
               + coalesce((SELECT sum(delta.inserted) FROM webhook_gateway_rows_deltas AS delta
                           WHERE delta.gateway_instance_id = reported.gateway_instance_id), 0)
                   AS inserted
        FROM reported
    )
    SELECT coalesce(sum(counted.accepted), 0)::bigint,
           coalesce(sum(greatest(counted.accepted - counted.inserted, 0)), 0)::bigint
    FROM counted
$$;

-- Deletes ledger rows after the retention. The newest row of an instance has its whole count, so the
-- others go after a day; the sum of its rows goes with the last one.
CREATE FUNCTION prune_webhook_ledger(retention_days integer) RETURNS void
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

REVOKE EXECUTE ON FUNCTION
    webhook_gateway_rows_after_insert, fold_webhook_gateway_rows, webhook_ledger,
    prune_webhook_ledger
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fold_webhook_gateway_rows TO ringback_metrics;
GRANT EXECUTE ON FUNCTION webhook_ledger TO ringback_service;
GRANT EXECUTE ON FUNCTION prune_webhook_ledger TO ringback_processor;
