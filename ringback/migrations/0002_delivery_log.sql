-- The delivery log: the state of every webhook and every attempt, the claims on events, and the
-- daily partitions of it.
--
-- Log and attempts are partitioned by day on the job id. A UUIDv7 sorts by its time, so the id is
-- the whole key, and a query by id, or by a time range given as ids, reads only the days concerned.
-- There are no foreign keys: they would block dropping a day.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_delivery_log (
    id                  uuid PRIMARY KEY,
    org_id              uuid NOT NULL,
    job_id              text GENERATED ALWAYS AS (id::text) STORED,
    endpoint_id         text NOT NULL,
    event_type          text NOT NULL,
    event_data          jsonb NOT NULL,
    altered             boolean NOT NULL DEFAULT false,
    status              text NOT NULL CHECK (status IN (
                            'pending', 'processing', 'completed', 'failed', 'dead_letter',
                            'duplicate')),
    attempts            integer NOT NULL DEFAULT 0,
    max_attempts        integer NOT NULL,
    created_at          timestamptz NOT NULL,
    last_attempt_at     timestamptz,
    completed_at        timestamptz,
    error_message       text,
    error_class         text,
    call_id             text,
    dedup_key           text,
    gateway_instance_id uuid,
    duplicate_of        uuid,
    retry_of            uuid,
    retried_as          uuid,
    resolution          text,
    resolved_at         timestamptz,
    duplicate_differs   boolean,
    forward             text,
    forward_of          uuid,
    retry_schedule      text,
    is_unresolved       boolean GENERATED ALWAYS AS (
                            CASE WHEN status = 'dead_letter' AND resolution IS NULL THEN true END
                        ) STORED
) PARTITION BY RANGE (id);

-- lz4 halves the payloads, and takes less time than writing the other half would. Without it they
-- are stored uncompressed, because pglz takes four times as long as writing. An ALTER, because
-- PostgreSQL before 16 does not accept STORAGE in CREATE TABLE.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_settings
               WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE webhook_delivery_log ALTER COLUMN event_data SET COMPRESSION lz4;
    ELSE
        ALTER TABLE webhook_delivery_log ALTER COLUMN event_data SET STORAGE EXTERNAL;
    END IF;
END
$$;

COMMENT ON TABLE webhook_delivery_log IS 'One row per accepted webhook.';
COMMENT ON COLUMN webhook_delivery_log.altered IS
    'event_data differs from what arrived, because JSONB could not hold it.';
COMMENT ON COLUMN webhook_delivery_log.forward_of IS
    'Of a webhook that the forward `forward` sends to its URL: the one that a gateway received.';
COMMENT ON COLUMN webhook_delivery_log.retry_schedule IS
    'The own retry schedule of its endpoint, if it had one. Written when an attempt ends.';
COMMENT ON COLUMN webhook_delivery_log.is_unresolved IS
    'True for a dead letter that nobody has resolved; else null, so that it takes no space.';
COMMENT ON COLUMN webhook_delivery_log.duplicate_differs IS
    'Of a duplicate report or end of a call: whether its content differs from the first one. '
    'Null if they were not compared.';

-- Updates stay HOT: no index has a column that a successful attempt changes, and no condition of
-- one names the status.
CREATE INDEX webhook_delivery_log_org ON webhook_delivery_log (org_id, id);
-- The webhooks of a call: about 150 bytes each. Without the id, so that equal keys are stored once.
CREATE INDEX webhook_delivery_log_call ON webhook_delivery_log (call_id, org_id)
    WHERE call_id IS NOT NULL;
-- Failures and dead letters of one org, and of all.
CREATE INDEX webhook_delivery_log_org_error ON webhook_delivery_log (org_id, id)
    WHERE error_class IS NOT NULL;
CREATE INDEX webhook_delivery_log_error ON webhook_delivery_log (id)
    WHERE error_class IS NOT NULL;
-- Of those, the few dead letters that nobody has resolved: resolved ones stay in the log for weeks. With
-- the columns that count them, because each is on a page of its own. `is_unresolved` is null before and
-- after a successful attempt, so that updates stay HOT; `status` would not be.
CREATE INDEX webhook_delivery_log_org_unresolved ON webhook_delivery_log (org_id, id)
    INCLUDE (event_type, error_class, created_at, altered) WHERE is_unresolved;
CREATE INDEX webhook_delivery_log_unresolved ON webhook_delivery_log (id)
    INCLUDE (event_type, error_class, created_at, altered) WHERE is_unresolved;

CREATE TABLE webhook_delivery_attempts (
    delivery_id   uuid NOT NULL,
    attempt       integer NOT NULL,
    org_id        uuid NOT NULL,
    outcome       text NOT NULL CHECK (outcome IN ('completed', 'failed', 'permanent', 'duplicate')),
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz NOT NULL,
    duration_ms   double precision GENERATED ALWAYS AS
                      (extract(epoch FROM (ended_at - started_at)) * 1000) STORED,
    error_class   text,
    error_message text,
    trace_id      text,
    span_id       text,
    answer        jsonb,
    PRIMARY KEY (delivery_id, attempt)
) PARTITION BY RANGE (delivery_id);

COMMENT ON TABLE webhook_delivery_attempts IS
    'One row per attempt that ended. A redelivery repeats the outcome recorded here.';
COMMENT ON COLUMN webhook_delivery_attempts.answer IS
    'What the receiver of a forward answered: status, latency_ms, text (4 kB, redacted), is_cut.';

-- Claims: the first webhook with an event owns its dedup key; later ones are duplicates.
CREATE TABLE webhook_inbox (
    org_id      uuid NOT NULL,
    dedup_key   text NOT NULL,
    delivery_id uuid NOT NULL,
    claimed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, dedup_key)
);

CREATE INDEX webhook_inbox_claimed_at ON webhook_inbox USING brin (claimed_at);

CREATE TABLE webhook_extra_partitions (
    day        date PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE webhook_extra_partitions IS
    'Days of the log that were created because a webhook needed them. Deleted with their day.';

SELECT enable_webhook_row_security(log_table), create_webhook_policies(log_table)
FROM unnest(ARRAY['webhook_delivery_log', 'webhook_delivery_attempts', 'webhook_inbox']::regclass[])
    AS log_table;

-- The gateway faces the internet: it only adds pending rows, names only these columns, and reads
-- nothing.
GRANT INSERT (id, org_id, endpoint_id, event_type, event_data, status, max_attempts, created_at,
              call_id, dedup_key, gateway_instance_id)
    ON webhook_delivery_log TO ringback_gateway;
CREATE POLICY pending_rows ON webhook_delivery_log FOR INSERT TO ringback_gateway
    WITH CHECK (status = 'pending');

-- The processor works for all orgs. It deletes only through the functions of the retention below.
GRANT SELECT, INSERT, UPDATE
    ON webhook_delivery_log, webhook_delivery_attempts, webhook_inbox TO ringback_processor;

GRANT SELECT ON webhook_delivery_log, webhook_delivery_attempts
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;

-- A retry adds a webhook, transfers the claim and resolves the dead letter. No other column of a
-- webhook can be changed by hand.
GRANT INSERT, UPDATE (resolution, resolved_at, retried_as)
    ON webhook_delivery_log TO ringback_tenant_operator, ringback_operator;
GRANT SELECT, INSERT, UPDATE (delivery_id, claimed_at)
    ON webhook_inbox TO ringback_tenant_operator, ringback_operator;

---- Ids and rows

-- The smallest UUIDv7 of a moment: its milliseconds, then the version and variant bits.
CREATE FUNCTION webhook_id_at(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0')
            || '70008000000000000000')::uuid
$$;

-- The time of an id. Its 48 bits reach beyond the year 9999, the last that clients can represent,
-- so later ids count as 9999-12-30. (asyncpg takes the last day of all for infinity.)
CREATE FUNCTION webhook_created_at(id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_timestamp(least(
        ('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint,
        253402128000000) / 1000.0)
$$;

-- Whether the payload is in the row. The gateway writes its pending rows with an empty object, and
-- the end of the first attempt fills in the payload. No event is as small as 8 bytes, and the size of a
-- stored value is known without reading it. STABLE, as `pg_column_size` is: otherwise the planner
-- cannot inline it.
CREATE FUNCTION webhook_has_payload(event_data jsonb) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT pg_column_size(event_data) > 8
$$;

-- An unresolved dead letter waits for a person, so it is not finished.
CREATE FUNCTION webhook_is_finished(status text, resolution text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT status IN ('completed', 'duplicate') OR (status = 'dead_letter' AND resolution IS NOT NULL)
$$;

---- Creating partitions

-- Creates the missing partitions of one day; returns how many it created.
--
-- Each is created apart and then attached. CREATE TABLE ... PARTITION OF would lock the whole log:
-- it would wait for every reader, and every writer would wait for it.
CREATE FUNCTION create_webhook_partitions(day date) RETURNS integer
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    parent    text;
    partition text;
    created   integer := 0;
BEGIN
    FOREACH parent IN ARRAY ARRAY['webhook_delivery_log', 'webhook_delivery_attempts'] LOOP
        partition := parent || to_char(day, '_YYYYMMDD');
        CONTINUE WHEN to_regclass(format('%I', partition)) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (fillfactor = 80)', partition, parent);
        PERFORM enable_webhook_row_security(partition::regclass);
        EXECUTE format(
            'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%s)',
            parent, partition,
            webhook_id_at(day::timestamp AT TIME ZONE 'UTC'),
            CASE WHEN day = '9999-12-30' THEN 'MAXVALUE'
                 ELSE quote_literal(webhook_id_at((day + 1)::timestamp AT TIME ZONE 'UTC')) END);
        created := created + 1;
    END LOOP;
    RETURN created;
END
$$;

-- Creates the missing partitions from `first_day` to `last_day` (UTC); returns how many.
CREATE FUNCTION ensure_webhook_partitions(
    first_day date DEFAULT (now() AT TIME ZONE 'UTC')::date - 1,
    last_day  date DEFAULT (now() AT TIME ZONE 'UTC')::date + 7
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    created integer := 0;
BEGIN
    -- One session at a time: two would create the same partition, and one would fail.
    PERFORM pg_advisory_xact_lock(hashtext('ensure_webhook_partitions'));
    FOR distance IN 0 .. last_day - first_day LOOP
        created := created + create_webhook_partitions(first_day + distance);
    END LOOP;
    RETURN created;
END
$$;

-- How many extra days have a partition.
CREATE FUNCTION webhook_extra_partition_count() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FROM webhook_extra_partitions
    WHERE to_regclass(format('%I', 'webhook_delivery_log' || to_char(day, '_YYYYMMDD'))) IS NOT NULL
$$;

-- Creates the missing partitions of the days that webhooks need, whatever day their ids are of.
-- Outside the usual days (yesterday to seven days ahead) 100 are allowed, because each partition
-- slows down every query that cannot exclude it; one more raises configuration_limit_exceeded.
CREATE FUNCTION ensure_webhook_partitions_for(days date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    today  date := (now() AT TIME ZONE 'UTC')::date;
    needed date;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ensure_webhook_partitions'));
    FOR needed IN SELECT DISTINCT day FROM unnest(days) AS day ORDER BY day LOOP
        IF create_webhook_partitions(needed) > 0 AND needed NOT BETWEEN today - 1 AND today + 7 THEN
            IF webhook_extra_partition_count() >= 100 THEN
                RAISE EXCEPTION 'the log has 100 extra days already, so % cannot be created', needed
                    USING ERRCODE = 'configuration_limit_exceeded';
            END IF;
            INSERT INTO webhook_extra_partitions (day) VALUES (needed)
            ON CONFLICT (day) DO UPDATE SET created_at = clock_timestamp();
        END IF;
    END LOOP;
END
$$;

-- The days that have a partition of the log, oldest first.
CREATE FUNCTION webhook_partition_days() RETURNS TABLE (day date)
LANGUAGE sql STABLE AS $$
    -- Materialized: otherwise a caller's condition on the day is evaluated for every table.
    WITH partition AS MATERIALIZED (
        SELECT child.relname
        FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'webhook_delivery_log'::regclass
    )
    SELECT to_date(right(relname, 8), 'YYYYMMDD') FROM partition ORDER BY 1
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

---- Retention

-- Drops the days older than `retention_days` in which every webhook is finished, deletes the
-- finished rows of the others in batches, and prunes old claims, questions, waits and the gateway
-- ledger.
--
-- A procedure, because it commits after each step: a drop locks the whole log for a moment, and
-- that lock must not be held while the next day is processed. A procedure that commits cannot run
-- with its owner's rights, so its steps do, and each of them deletes only finished, past data.
--
-- When another session is at a step, this one leaves the rest to it.
CREATE PROCEDURE cleanup_old_webhook_logs(
    retention_days integer DEFAULT 30,
    batch_size     integer DEFAULT 5000
)
LANGUAGE plpgsql AS $$
DECLARE
    old_day    date;
    state      text;
    tries      integer;
BEGIN
    IF retention_days < 1 OR batch_size < 1 THEN
        RAISE EXCEPTION 'retention_days and batch_size must be at least 1';
    END IF;
    FOR old_day IN SELECT day FROM expired_webhook_days(retention_days) LOOP
        tries := 0;
        LOOP
            IF NOT try_lock_webhook_cleanup() THEN
                RETURN;
            END IF;
            state := drop_finished_webhook_partitions(old_day);
            COMMIT;
            tries := tries + 1;
            EXIT WHEN state <> 'in use' OR tries = 5;
            PERFORM pg_sleep(0.2);
        END LOOP;
        IF state = 'in use' THEN
            RAISE NOTICE 'the day % is being read; it stays until the next run', old_day;
        END IF;
        WHILE state = 'unfinished' LOOP
            IF NOT try_lock_webhook_cleanup() THEN
                RETURN;
            END IF;
            IF NOT delete_finished_webhooks(old_day, batch_size) THEN
                state := 'emptied';
            END IF;
            COMMIT;
        END LOOP;
    END LOOP;
    LOOP
        IF NOT try_lock_webhook_cleanup() THEN
            RETURN;
        END IF;
        EXIT WHEN prune_webhook_inbox(batch_size) = 0;
        COMMIT;
    END LOOP;
    LOOP
        IF NOT try_lock_webhook_cleanup() THEN
            RETURN;
        END IF;
        EXIT WHEN prune_webhook_questions(retention_days, batch_size) = 0;
        COMMIT;
    END LOOP;
    LOOP
        IF NOT try_lock_webhook_cleanup() THEN
            RETURN;
        END IF;
        EXIT WHEN prune_webhook_waits(batch_size) = 0;
        COMMIT;
    END LOOP;
    PERFORM prune_webhook_ledger(retention_days);
    COMMIT;
END
$$;

-- Whether no other session is cleaning up; none will until this transaction ends.
CREATE FUNCTION try_lock_webhook_cleanup() RETURNS boolean
LANGUAGE sql AS $$
    SELECT pg_try_advisory_xact_lock(hashtext('cleanup_old_webhook_logs'))
$$;

-- The days older than the retention. An extra day counts from when it was created: what was
-- finished in it today stays for the retention, and does not run again when the broker redelivers.
CREATE FUNCTION expired_webhook_days(retention_days integer) RETURNS TABLE (day date)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT known.day
    FROM webhook_partition_days() AS known
    LEFT JOIN webhook_extra_partitions AS extra ON extra.day = known.day,
         (SELECT (now() AT TIME ZONE 'UTC')::date AS today) AS now_utc
    WHERE (known.day < today - retention_days OR (extra.day IS NOT NULL AND known.day > today + 7))
      AND coalesce((extra.created_at AT TIME ZONE 'UTC')::date, '-infinity') < today - retention_days
    ORDER BY known.day
$$;

-- Drops one day: `dropped`, `unfinished` if a webhook is not finished, or `in use` if a reader holds
-- it. Writers queue behind a waiting drop, so it waits for half a second at most.
CREATE FUNCTION drop_finished_webhook_partitions(old_day date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    log_day      text := 'webhook_delivery_log' || to_char(old_day, '_YYYYMMDD');
    attempts_day text := 'webhook_delivery_attempts' || to_char(old_day, '_YYYYMMDD');
    unfinished   boolean := false;
BEGIN
    PERFORM require_past_webhook_day(old_day);
    -- Another session may have dropped it.
    IF to_regclass(format('%I', log_day)) IS NOT NULL THEN
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM %I WHERE NOT webhook_is_finished(status, resolution))',
            log_day) INTO unfinished;
    END IF;
    IF unfinished THEN
        RETURN 'unfinished';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS %I, %I', log_day, attempts_day);
    DELETE FROM webhook_extra_partitions WHERE day = old_day;
    RETURN 'dropped';
EXCEPTION WHEN lock_not_available THEN
    RETURN 'in use';
END
$$;

-- Deletes some finished rows of a day, with their attempts. Returns whether there are more.
CREATE FUNCTION delete_finished_webhooks(old_day date, batch_size integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    suffix    text := to_char(old_day, '_YYYYMMDD');
    has_more boolean;
BEGIN
    PERFORM require_past_webhook_day(old_day);
    -- Another session may have dropped it.
    IF to_regclass(format('%I', 'webhook_delivery_log' || suffix)) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format(
        'WITH deleted AS (
             DELETE FROM %1$I WHERE id IN (
                 SELECT id FROM %1$I
                 WHERE webhook_is_finished(status, resolution) LIMIT %2$s)
             RETURNING id)
         DELETE FROM %3$I WHERE delivery_id IN (SELECT id FROM deleted)',
        'webhook_delivery_log' || suffix, batch_size, 'webhook_delivery_attempts' || suffix);
    EXECUTE format(
        'SELECT EXISTS (SELECT FROM %I WHERE webhook_is_finished(status, resolution))',
        'webhook_delivery_log' || suffix) INTO has_more;
    RETURN has_more;
END
$$;

-- Raises an error for today and the week ahead. Extra days may be later than that.
CREATE FUNCTION require_past_webhook_day(old_day date) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF old_day BETWEEN (now() AT TIME ZONE 'UTC')::date AND (now() AT TIME ZONE 'UTC')::date + 7 THEN
        RAISE EXCEPTION 'the day % is not past', old_day;
    END IF;
END
$$;

-- Deletes at most `batch_size` claims older than 7 days; returns how many.
CREATE FUNCTION prune_webhook_inbox(batch_size integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    pruned bigint;
BEGIN
    DELETE FROM webhook_inbox WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM webhook_inbox WHERE claimed_at < now() - interval '7 days'
        LIMIT batch_size));
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
$$;

REVOKE EXECUTE ON FUNCTION
    webhook_id_at, webhook_created_at, webhook_has_payload, webhook_is_finished,
    create_webhook_partitions, ensure_webhook_partitions, ensure_webhook_partitions_for,
    webhook_extra_partition_count, webhook_partition_days, webhook_partition_days_ahead,
    try_lock_webhook_cleanup,
    expired_webhook_days, drop_finished_webhook_partitions, delete_finished_webhooks,
    require_past_webhook_day, prune_webhook_inbox
FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE cleanup_old_webhook_logs FROM PUBLIC;

GRANT EXECUTE ON FUNCTION
    webhook_id_at, webhook_created_at, webhook_has_payload, ensure_webhook_partitions,
    ensure_webhook_partitions_for, webhook_partition_days, try_lock_webhook_cleanup,
    expired_webhook_days, drop_finished_webhook_partitions, delete_finished_webhooks,
    prune_webhook_inbox
TO ringback_processor;
GRANT EXECUTE ON PROCEDURE cleanup_old_webhook_logs TO ringback_processor;
GRANT EXECUTE ON FUNCTION webhook_id_at, webhook_has_payload
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;
GRANT EXECUTE ON FUNCTION webhook_created_at TO ringback_tenant_operator, ringback_operator;
GRANT EXECUTE ON FUNCTION webhook_extra_partition_count, webhook_partition_days_ahead
    TO ringback_service;

SELECT ensure_webhook_partitions();
