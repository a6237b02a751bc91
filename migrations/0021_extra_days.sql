-- A webhook keeps its id, whatever day its id is of: a missing day is made when it is needed.
--
-- Such days are noted and bounded: each partition costs all queries that cannot leave it out.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_extra_days (
    day     date PRIMARY KEY,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE webhook_extra_days IS
    'Days of the log that were made because a webhook needed them. Removed with their partitions.';

-- The time of an id. The 48 bits reach beyond the year 9999, which is the last that clients can
-- represent: later ids count as of 9999-12-30. (asyncpg takes the last day of all for infinity.)
CREATE OR REPLACE FUNCTION webhook_created_at(id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_timestamp(least(
        ('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint,
        253402128000000) / 1000.0)
$$;

-- Makes the partitions of one day that are missing; returns how many it made.
--
-- They are made apart and then attached, because CREATE ... PARTITION OF locks the whole log: it
-- would wait for every reader, and every writer would wait for it.
CREATE FUNCTION make_webhook_day(wanted date) RETURNS integer
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    parent    text;
    partition text;
    made      integer := 0;
BEGIN
    FOREACH parent IN ARRAY ARRAY['webhook_delivery_log', 'webhook_delivery_attempts'] LOOP
        partition := parent || to_char(wanted, '_YYYYMMDD');
        CONTINUE WHEN to_regclass(format('%I', partition)) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (fillfactor = 80)', partition, parent);
        PERFORM close_webhook_table(partition::regclass);
        EXECUTE format(
            'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%s)',
            parent, partition,
            webhook_id_at(wanted::timestamp AT TIME ZONE 'UTC'),
            CASE WHEN wanted = '9999-12-30' THEN 'MAXVALUE'
                 ELSE quote_literal(webhook_id_at((wanted + 1)::timestamp AT TIME ZONE 'UTC')) END);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

-- As before.
CREATE OR REPLACE FUNCTION ensure_webhook_partitions(
    first_day date DEFAULT (now() AT TIME ZONE 'UTC')::date - 1,
    last_day  date DEFAULT (now() AT TIME ZONE 'UTC')::date + 7
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    made integer := 0;
BEGIN
    -- One maker at a time: two would make the same partition and one would fail.
    PERFORM pg_advisory_xact_lock(hashtext('ensure_webhook_partitions'));
    FOR distance IN 0 .. last_day - first_day LOOP
        made := made + make_webhook_day(first_day + distance);
    END LOOP;
    RETURN made;
END
$$;

-- Makes the days that webhooks need and that have no partition. Of days outside the usual ones
-- (yesterday to seven days ahead) there may be 100; one more raises configuration_limit_exceeded.
CREATE FUNCTION ensure_webhook_days(wanted date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    today  date := (now() AT TIME ZONE 'UTC')::date;
    needed date;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ensure_webhook_partitions'));
    FOR needed IN SELECT DISTINCT day FROM unnest(wanted) AS day ORDER BY day LOOP
        IF make_webhook_day(needed) > 0 AND needed NOT BETWEEN today - 1 AND today + 7 THEN
            IF webhook_extra_day_count() >= 100 THEN
                RAISE EXCEPTION 'the log has 100 extra days; % would be one more', needed
                    USING ERRCODE = 'configuration_limit_exceeded';
            END IF;
            INSERT INTO webhook_extra_days (day) VALUES (needed)
            ON CONFLICT (day) DO UPDATE SET made_at = clock_timestamp();
        END IF;
    END LOOP;
END
$$;

-- How many extra days have a partition.
CREATE FUNCTION webhook_extra_day_count() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FROM webhook_extra_days
    WHERE to_regclass(format('%I', 'webhook_delivery_log' || to_char(day, '_YYYYMMDD'))) IS NOT NULL
$$;

-- The days that may be cleaned: those older than the retention. An extra day counts as old as it
-- was made: what was finished in it today stays for the retention, and is not run again when the
-- broker delivers it again.
CREATE FUNCTION webhook_days_to_clean(retention_days integer) RETURNS TABLE (day date)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT known.day
    FROM webhook_partition_days() AS known
    LEFT JOIN webhook_extra_days AS extra ON extra.day = known.day,
         (SELECT (now() AT TIME ZONE 'UTC')::date AS today) AS present
    WHERE (known.day < today - retention_days OR (extra.day IS NOT NULL AND known.day > today + 7))
      AND coalesce((extra.made_at AT TIME ZONE 'UTC')::date, '-infinity') < today - retention_days
    ORDER BY known.day
$$;

-- As before, with extra days that lie ahead: they are no days of the present.
CREATE OR REPLACE FUNCTION require_past_webhook_day(old_day date) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF old_day BETWEEN (now() AT TIME ZONE 'UTC')::date AND (now() AT TIME ZONE 'UTC')::date + 7 THEN
        RAISE EXCEPTION 'the day % is not past', old_day;
    END IF;
END
$$;

-- As before, and an extra day is forgotten with its partitions.
CREATE OR REPLACE FUNCTION drop_finished_webhook_day(old_day date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    log_day      text := 'webhook_delivery_log' || to_char(old_day, '_YYYYMMDD');
    attempts_day text := 'webhook_delivery_attempts' || to_char(old_day, '_YYYYMMDD');
    unfinished   boolean := false;
BEGIN
    PERFORM require_past_webhook_day(old_day);
    -- Another one may have dropped it.
    IF to_regclass(format('%I', log_day)) IS NOT NULL THEN
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM %I WHERE NOT webhook_is_finished(status, resolution))',
            log_day) INTO unfinished;
    END IF;
    IF unfinished THEN
        RETURN 'unfinished';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS %I, %I', log_day, attempts_day);
    DELETE FROM webhook_extra_days WHERE day = old_day;
    RETURN 'dropped';
EXCEPTION WHEN lock_not_available THEN
    RETURN 'in use';
END
$$;

-- As before, but for the choice of days.
DO $do$
DECLARE
    definition text := pg_get_functiondef('cleanup_old_webhook_logs'::regproc);
    before     text := 'SELECT day FROM webhook_partition_days() WHERE day < first_kept';
BEGIN
    IF strpos(definition, before) = 0 THEN
        RAISE EXCEPTION 'cleanup_old_webhook_logs is not as expected';
    END IF;
    definition := replace(definition, before, 'SELECT day FROM webhook_days_to_clean(retention_days)');
    EXECUTE regexp_replace(definition, '    first_kept date := [^;]*;\n', '');
END
$do$;

REVOKE EXECUTE ON FUNCTION
    make_webhook_day, ensure_webhook_days, webhook_extra_day_count, webhook_days_to_clean
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_webhook_days, webhook_days_to_clean TO ringback_processor;
GRANT EXECUTE ON FUNCTION webhook_extra_day_count TO ringback_service;
