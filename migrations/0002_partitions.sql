-- Days are made ahead and dropped behind by these functions; no default partition hides a miss.

SET LOCAL lock_timeout = '4s';

-- The smallest UUIDv7 of a moment: its milliseconds, then the version and variant bits.
CREATE FUNCTION webhook_id_at(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0')
            || '70008000000000000000')::uuid
$$;

CREATE FUNCTION webhook_created_at(id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_timestamp(('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint / 1000.0)
$$;

-- Makes the partitions from `first_day` to `last_day` (UTC) that are missing; returns how many.
--
-- They are made apart and then attached, because CREATE ... PARTITION OF locks the whole log: it
-- would wait for every reader, and every writer would wait for it.
CREATE FUNCTION ensure_webhook_partitions(
    first_day date DEFAULT (now() AT TIME ZONE 'UTC')::date - 1,
    last_day  date DEFAULT (now() AT TIME ZONE 'UTC')::date + 7
) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    day       date;
    parent    text;
    partition text;
    made      integer := 0;
BEGIN
    -- One maker at a time: two would make the same partition and one would fail.
    PERFORM pg_advisory_xact_lock(hashtext('ensure_webhook_partitions'));
    FOREACH parent IN ARRAY ARRAY['webhook_delivery_log', 'webhook_delivery_attempts'] LOOP
        day := first_day;
        WHILE day <= last_day LOOP
            partition := parent || to_char(day, '_YYYYMMDD');
            IF to_regclass(format('%I', partition)) IS NULL THEN
                EXECUTE format(
                    'CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (fillfactor = 80)',
                    partition, parent);
                EXECUTE format(
                    'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                    parent, partition,
                    webhook_id_at(day::timestamp AT TIME ZONE 'UTC'),
                    webhook_id_at((day + 1)::timestamp AT TIME ZONE 'UTC'));
                made := made + 1;
            END IF;
            day := day + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

-- The days that have a partition of the log, oldest first.
CREATE FUNCTION webhook_partition_days() RETURNS TABLE (day date)
LANGUAGE sql STABLE AS $$
    -- Materialized, or a caller's condition on the day would be tried on every table there is.
    WITH partition AS MATERIALIZED (
        SELECT child.relname
        FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'webhook_delivery_log'::regclass
    )
    SELECT to_date(right(relname, 8), 'YYYYMMDD') FROM partition ORDER BY 1
$$;

-- Drops the days older than `retention_days` in which all is finished, deletes the finished rows
-- of the others in batches, prunes claims after 7 days and ledger rows after the retention.
--
-- A procedure, because it commits after each step: a drop locks the whole log for a moment, and
-- that lock must not be held while the next day is being worked on.
--
-- One at a time: whoever finds another one at a step leaves the rest to it.
CREATE PROCEDURE cleanup_old_webhook_logs(
    retention_days integer DEFAULT 30,
    batch_size     integer DEFAULT 5000
)
LANGUAGE plpgsql AS $$
DECLARE
    first_kept date := (now() AT TIME ZONE 'UTC')::date - retention_days;
    old_day    date;
    suffix     text;
    unfinished boolean;
    touched    bigint;
BEGIN
    IF retention_days < 1 OR batch_size < 1 THEN
        RAISE EXCEPTION 'retention_days and batch_size must be at least 1';
    END IF;
    FOR old_day IN SELECT day FROM webhook_partition_days() WHERE day < first_kept LOOP
        suffix := to_char(old_day, '_YYYYMMDD');
        IF NOT may_clean_webhook_logs() THEN
            RETURN;
        END IF;
        -- Another one may have dropped it before it left the rest to us.
        CONTINUE WHEN to_regclass(format('%I', 'webhook_delivery_log' || suffix)) IS NULL;
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM %I WHERE NOT webhook_is_finished(status, resolution))',
            'webhook_delivery_log' || suffix) INTO unfinished;
        IF NOT unfinished THEN
            CALL drop_webhook_day(old_day);
        ELSE
            LOOP
                EXECUTE format(
                    'WITH gone AS (
                         DELETE FROM %1$I WHERE id IN (
                             SELECT id FROM %1$I
                             WHERE webhook_is_finished(status, resolution) LIMIT %2$s)
                         RETURNING id)
                     DELETE FROM %3$I WHERE delivery_id IN (SELECT id FROM gone)',
                    'webhook_delivery_log' || suffix, batch_size,
                    'webhook_delivery_attempts' || suffix);
                EXECUTE format(
                    'SELECT count(*) FROM (SELECT FROM %I
                     WHERE webhook_is_finished(status, resolution) LIMIT 1) AS left_over',
                    'webhook_delivery_log' || suffix) INTO touched;
                COMMIT;
                EXIT WHEN touched = 0;
                IF NOT may_clean_webhook_logs() THEN
                    RETURN;
                END IF;
            END LOOP;
        END IF;
    END LOOP;
    LOOP
        IF NOT may_clean_webhook_logs() THEN
            RETURN;
        END IF;
        DELETE FROM webhook_inbox WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM webhook_inbox WHERE claimed_at < now() - interval '7 days'
            LIMIT batch_size));
        GET DIAGNOSTICS touched = ROW_COUNT;
        COMMIT;
        EXIT WHEN touched = 0;
    END LOOP;
    -- The newest row of a life holds its whole count; the others have served.
    DELETE FROM webhook_gateway_ledger AS older
    USING webhook_gateway_ledger AS newer
    WHERE newer.gateway_instance_id = older.gateway_instance_id AND newer.accepted > older.accepted
      AND older.written_at < now() - interval '1 day';
    DELETE FROM webhook_gateway_ledger
    WHERE written_at < now() - make_interval(days => retention_days);
    COMMIT;
END
$$;

-- Whether no other session is at a step of the cleaning; none will be until this transaction ends.
CREATE FUNCTION may_clean_webhook_logs() RETURNS boolean
LANGUAGE sql AS $$
    SELECT pg_try_advisory_xact_lock(hashtext('cleanup_old_webhook_logs'))
$$;

-- An unresolved dead letter waits for a person, so it is not finished.
CREATE FUNCTION webhook_is_finished(status text, resolution text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT status IN ('completed', 'duplicate') OR (status = 'dead_letter' AND resolution IS NOT NULL)
$$;

-- Drops one day of both tables, or leaves it for the next run when a reader holds it: writers
-- queue behind a waiting drop, so it waits half a second at most.
CREATE PROCEDURE drop_webhook_day(old_day date)
LANGUAGE plpgsql AS $$
DECLARE
    suffix  text := to_char(old_day, '_YYYYMMDD');
    dropped boolean := false;
BEGIN
    FOR try IN 1..5 LOOP
        BEGIN
            SET LOCAL lock_timeout = '500ms';
            EXECUTE format('DROP TABLE IF EXISTS %I, %I',
                           'webhook_delivery_log' || suffix, 'webhook_delivery_attempts' || suffix);
            dropped := true;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.2);
        END;
        COMMIT;
        EXIT WHEN dropped;
    END LOOP;
    IF NOT dropped THEN
        RAISE NOTICE 'the day % is being read; it stays until the next run', old_day;
    END IF;
END
$$;

SELECT ensure_webhook_partitions();
