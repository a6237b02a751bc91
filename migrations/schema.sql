-- The schema after the last migration, for reading and for reviewing changes of it.
-- Nothing is built from this file; migrations/README.md says how to renew it.

CREATE FUNCTION public.begin_webhook_attempts(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_lives uuid[], p_retries_of uuid[]) RETURNS TABLE(delivery_id uuid, recorded_outcome text, duplicate_of uuid)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    first_id uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u LIMIT 1);
    last_id  uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u DESC LIMIT 1);
    claimed  uuid[];
    owners   uuid[];
    begun    uuid[];
BEGIN
    SELECT array_agg(c.delivery_id), array_agg(c.owner_id) INTO claimed, owners
    FROM claim_webhook_events(p_ids, p_org_ids, p_dedup_keys) AS c;

    PERFORM ensure_webhook_rows(
        p_ids, p_org_ids, p_endpoint_ids, p_event_types, p_event_data, p_altered, p_max_attempts,
        p_call_ids, p_dedup_keys, p_gateway_lives, p_retries_of,
        ARRAY(SELECT u FROM unnest(p_ids) AS u
              EXCEPT
              SELECT id FROM webhook_delivery_log
              WHERE id = ANY (p_ids) AND id BETWEEN first_id AND last_id));

    RETURN QUERY
    SELECT w.id,
           coalesce(
               done.outcome,
               CASE WHEN log.status IN ('completed', 'duplicate') THEN log.status END),
           nullif(claim.owner_id, w.id)
    FROM unnest(p_ids, p_attempts) AS w (id, attempt)
    JOIN unnest(claimed, owners) AS claim (id, owner_id) ON claim.id = w.id
    LEFT JOIN webhook_delivery_attempts AS done
        ON done.delivery_id = w.id AND done.attempt = w.attempt
        AND done.delivery_id BETWEEN first_id AND last_id
    LEFT JOIN webhook_delivery_log AS log
        ON log.id = w.id AND log.id BETWEEN first_id AND last_id;

    SELECT array_agg(locked.id) INTO begun FROM (
        SELECT log.id FROM webhook_delivery_log AS log
        WHERE log.id = ANY (p_ids) AND log.id BETWEEN first_id AND last_id
          AND log.status IN ('pending', 'failed')
          -- What is only repeated does not begin.
          AND NOT EXISTS (
              SELECT FROM unnest(p_ids, p_attempts) AS w (id, attempt)
              JOIN webhook_delivery_attempts AS done
                  ON done.delivery_id = w.id AND done.attempt = w.attempt
                  AND done.delivery_id BETWEEN first_id AND last_id
              WHERE w.id = log.id)
        ORDER BY log.id FOR UPDATE) AS locked;
    UPDATE webhook_delivery_log AS log
    SET status = 'processing', last_attempt_at = clock_timestamp()
    WHERE log.id = ANY (begun) AND log.id BETWEEN first_id AND last_id;
END
$$;

CREATE FUNCTION public.claim_webhook_events(ids uuid[], org_ids uuid[], dedup_keys text[]) RETURNS TABLE(delivery_id uuid, owner_id uuid)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
    INSERT INTO webhook_inbox (org_id, dedup_key, delivery_id)
    SELECT w.org_id, w.dedup_key, w.id
    FROM unnest(ids, org_ids, dedup_keys) AS w (id, org_id, dedup_key)
    WHERE w.dedup_key IS NOT NULL
    ORDER BY w.org_id, w.dedup_key, w.id
    ON CONFLICT DO NOTHING;

    RETURN QUERY
    SELECT w.id, coalesce(inbox.delivery_id, w.id)
    FROM unnest(ids, org_ids, dedup_keys) AS w (id, org_id, dedup_key)
    LEFT JOIN webhook_inbox AS inbox
        ON inbox.org_id = w.org_id AND inbox.dedup_key = w.dedup_key;
END
$$;

CREATE PROCEDURE public.cleanup_old_webhook_logs(IN retention_days integer DEFAULT 30, IN batch_size integer DEFAULT 5000)
    LANGUAGE plpgsql
    AS $_$
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
    WHERE newer.gateway_life = older.gateway_life AND newer.accepted > older.accepted
      AND older.written_at < now() - interval '1 day';
    DELETE FROM webhook_gateway_ledger
    WHERE written_at < now() - make_interval(days => retention_days);
    COMMIT;
END
$_$;

CREATE PROCEDURE public.drop_webhook_day(IN old_day date)
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.ensure_webhook_partitions(first_day date DEFAULT (((now() AT TIME ZONE 'UTC'::text))::date - 1), last_day date DEFAULT (((now() AT TIME ZONE 'UTC'::text))::date + 7)) RETURNS integer
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.ensure_webhook_rows(ids uuid[], org_ids uuid[], endpoint_ids text[], event_types text[], event_data text[], altered boolean[], max_attempts integer[], call_ids text[], dedup_keys text[], gateway_lives uuid[], retries_of uuid[], only_ids uuid[]) RETURNS void
    LANGUAGE sql
    AS $$
    INSERT INTO webhook_delivery_log (
        id, org_id, endpoint_id, event_type, event_data, altered, status, max_attempts,
        created_at, call_id, dedup_key, gateway_life, retry_of)
    SELECT w.id, w.org_id, w.endpoint_id, w.event_type, w.event_data::jsonb, w.altered, 'pending',
           w.max_attempts, webhook_created_at(w.id), w.call_id, w.dedup_key, w.gateway_life, w.retry_of
    FROM unnest(ids, org_ids, endpoint_ids, event_types, event_data, altered, max_attempts,
                call_ids, dedup_keys, gateway_lives, retries_of)
        AS w (id, org_id, endpoint_id, event_type, event_data, altered, max_attempts,
              call_id, dedup_key, gateway_life, retry_of)
    WHERE w.id = ANY (only_ids)
    ORDER BY w.id
    ON CONFLICT DO NOTHING
$$;

CREATE FUNCTION public.finish_webhook_attempts(p_ids uuid[], p_attempts integer[], p_outcomes text[], p_started_at timestamp with time zone[], p_ended_at timestamp with time zone[], p_error_classes text[], p_error_messages text[], p_trace_ids text[], p_span_ids text[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_lives uuid[], p_retries_of uuid[]) RETURNS TABLE(delivery_id uuid, final_outcome text, is_fresh boolean, duplicate_of uuid)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    first_id   uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u LIMIT 1);
    last_id    uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u DESC LIMIT 1);
    fresh      uuid[];
    duplicates uuid[];
    owners     uuid[];
    missing    uuid[];
BEGIN
    WITH written AS (
        INSERT INTO webhook_delivery_attempts AS a (
            delivery_id, attempt, org_id, outcome, started_at, ended_at,
            error_class, error_message, trace_id, span_id)
        SELECT w.*
        FROM unnest(p_ids, p_attempts, p_org_ids, p_outcomes, p_started_at, p_ended_at,
                    p_error_classes, p_error_messages, p_trace_ids, p_span_ids)
            AS w (id, attempt, org_id, outcome, started_at, ended_at,
                  error_class, error_message, trace_id, span_id)
        ORDER BY w.id
        ON CONFLICT DO NOTHING
        RETURNING a.delivery_id
    )
    SELECT coalesce(array_agg(written.delivery_id), '{}') INTO fresh FROM written;

    SELECT coalesce(array_agg(c.delivery_id), '{}'), coalesce(array_agg(c.owner_id), '{}')
    INTO duplicates, owners
    FROM claim_webhook_events(
        fresh,
        ARRAY(SELECT w.org_id FROM unnest(fresh) WITH ORDINALITY AS f (id, place)
              JOIN unnest(p_ids, p_org_ids) AS w (id, org_id) ON w.id = f.id ORDER BY f.place),
        ARRAY(SELECT w.dedup_key FROM unnest(fresh) WITH ORDINALITY AS f (id, place)
              JOIN unnest(p_ids, p_dedup_keys) AS w (id, dedup_key) ON w.id = f.id ORDER BY f.place)
    ) AS c
    WHERE c.owner_id <> c.delivery_id;

    IF cardinality(duplicates) > 0 THEN
        UPDATE webhook_delivery_attempts AS a
        SET outcome = 'duplicate', error_class = NULL, error_message = NULL
        FROM unnest(p_ids, p_attempts) AS w (id, attempt)
        WHERE a.delivery_id = w.id AND a.attempt = w.attempt AND w.id = ANY (duplicates)
          AND a.delivery_id BETWEEN first_id AND last_id;
    END IF;

    -- Before any row is locked: a new row may have to wait for another batch that is making it.
    missing := ARRAY(SELECT unnest(fresh)
                     EXCEPT
                     SELECT id FROM webhook_delivery_log
                     WHERE id = ANY (fresh) AND id BETWEEN first_id AND last_id);
    IF cardinality(missing) > 0 THEN
        PERFORM ensure_webhook_rows(
            p_ids, p_org_ids, p_endpoint_ids, p_event_types, p_event_data, p_altered,
            p_max_attempts, p_call_ids, p_dedup_keys, p_gateway_lives, p_retries_of, missing);
    END IF;
    PERFORM move_webhooks(
        fresh, duplicates, owners, p_ids, p_attempts, p_outcomes, p_ended_at,
        p_error_classes, p_error_messages, p_max_attempts, p_event_data, p_altered);

    RETURN QUERY
    SELECT a.delivery_id, a.outcome, a.delivery_id = ANY (fresh),
           (SELECT d.owner FROM unnest(duplicates, owners) AS d (id, owner)
            WHERE d.id = a.delivery_id)
    FROM unnest(p_ids, p_attempts) AS w (id, attempt)
    JOIN webhook_delivery_attempts AS a
        ON a.delivery_id = w.id AND a.attempt = w.attempt
        AND a.delivery_id BETWEEN first_id AND last_id;
END
$$;

CREATE FUNCTION public.fold_webhook_stats(p_most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    minutes_from timestamptz := webhook_stats_minutes_from();
    hours_from   timestamptz := webhook_stats_hours_from();
    moved        integer;
BEGIN
    IF NOT may_fold_webhook_stats() THEN
        RETURN 0;
    END IF;
    WITH folded AS (
        DELETE FROM webhook_stats_deltas
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM webhook_stats_deltas LIMIT p_most))
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

CREATE FUNCTION public.may_clean_webhook_logs() RETURNS boolean
    LANGUAGE sql
    AS $$
    SELECT pg_try_advisory_xact_lock(hashtext('cleanup_old_webhook_logs'))
$$;

CREATE FUNCTION public.may_fold_webhook_stats() RETURNS boolean
    LANGUAGE sql
    AS $$
    SELECT pg_try_advisory_xact_lock(hashtext('fold_webhook_stats'))
$$;

CREATE FUNCTION public.move_webhooks(only_ids uuid[], duplicates uuid[], owners uuid[], p_ids uuid[], p_attempts integer[], p_outcomes text[], p_ended_at timestamp with time zone[], p_error_classes text[], p_error_messages text[], p_max_attempts integer[], p_event_data text[], p_altered boolean[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    first_id uuid := (SELECT u FROM unnest(only_ids) AS u ORDER BY u LIMIT 1);
    last_id  uuid := (SELECT u FROM unnest(only_ids) AS u ORDER BY u DESC LIMIT 1);
    present  uuid[];
BEGIN
    SELECT coalesce(array_agg(locked.id), '{}') INTO present FROM (
        SELECT log.id FROM webhook_delivery_log AS log
        WHERE log.id = ANY (only_ids) AND log.id BETWEEN first_id AND last_id
        ORDER BY log.id FOR UPDATE) AS locked;

    UPDATE webhook_delivery_log AS log
    SET status = CASE
            WHEN log.id = ANY (duplicates) THEN 'duplicate'
            WHEN w.outcome = 'permanent' THEN 'failed'
            ELSE w.outcome END,
        event_data = CASE
            WHEN webhook_has_payload(log.event_data) THEN log.event_data
            ELSE w.event_data::jsonb END,
        altered = w.altered,
        attempts = greatest(log.attempts, w.attempt),
        max_attempts = w.max_attempts,
        last_attempt_at = w.ended_at,
        completed_at = CASE
            WHEN w.outcome = 'completed' AND log.id <> ALL (duplicates) THEN w.ended_at END,
        error_class = CASE WHEN log.id <> ALL (duplicates) THEN w.error_class END,
        error_message = CASE WHEN log.id <> ALL (duplicates) THEN w.error_message END,
        duplicate_of = (SELECT d.owner FROM unnest(duplicates, owners) AS d (id, owner)
                        WHERE d.id = log.id)
    FROM unnest(p_ids, p_attempts, p_outcomes, p_ended_at, p_error_classes, p_error_messages,
                p_max_attempts, p_event_data, p_altered)
        AS w (id, attempt, outcome, ended_at, error_class, error_message, max_attempts,
              event_data, altered)
    WHERE log.id = w.id AND log.id = ANY (present)
      AND log.id BETWEEN first_id AND last_id
      AND log.status IN ('pending', 'processing', 'failed');
END
$$;

CREATE FUNCTION public.note_webhook_processor(p_id uuid, p_prefetch integer, p_in_hand integer, p_is_paused boolean, p_started_at timestamp with time zone) RETURNS void
    LANGUAGE sql
    AS $$
    INSERT INTO webhook_processors AS p (id, prefetch, in_hand, is_paused, started_at, seen_at)
    VALUES (p_id, p_prefetch, p_in_hand, p_is_paused, p_started_at, clock_timestamp())
    ON CONFLICT (id) DO UPDATE
    SET in_hand = excluded.in_hand, is_paused = excluded.is_paused, seen_at = excluded.seen_at;

    DELETE FROM webhook_processors WHERE id IN (
        SELECT id FROM webhook_processors WHERE seen_at < clock_timestamp() - interval '1 day'
        FOR UPDATE SKIP LOCKED);
$$;

CREATE FUNCTION public.prune_webhook_stats() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    minutes_from timestamptz := webhook_stats_minutes_from();
    hours_from   timestamptz := webhook_stats_hours_from();
    pruned       bigint;
BEGIN
    IF NOT may_fold_webhook_stats() THEN
        RETURN NULL;
    END IF;
    DELETE FROM webhook_stats
    WHERE (grain = 'minute' AND bucket < minutes_from) OR (grain = 'hour' AND bucket < hours_from);
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
$$;

CREATE FUNCTION public.rebuild_webhook_stats() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    minutes_from timestamptz := webhook_stats_minutes_from();
    hours_from   timestamptz := webhook_stats_hours_from();
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('fold_webhook_stats'));
    DELETE FROM webhook_stats;
    WITH recounted AS (
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

CREATE FUNCTION public.record_webhook_dead_letters(p_ids uuid[], p_attempts integer[], p_error_classes text[], p_error_messages text[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_lives uuid[], p_retries_of uuid[]) RETURNS TABLE(delivery_id uuid, attempts integer, error_class text, error_message text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    first_id uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u LIMIT 1);
    last_id  uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u DESC LIMIT 1);
BEGIN
    PERFORM ensure_webhook_rows(
        p_ids, p_org_ids, p_endpoint_ids, p_event_types, p_event_data, p_altered, p_max_attempts,
        p_call_ids, p_dedup_keys, p_gateway_lives, p_retries_of,
        ARRAY(SELECT u FROM unnest(p_ids) AS u
              EXCEPT
              SELECT id FROM webhook_delivery_log
              WHERE id = ANY (p_ids) AND id BETWEEN first_id AND last_id));

    PERFORM FROM webhook_delivery_log
    WHERE id = ANY (p_ids) AND id BETWEEN first_id AND last_id ORDER BY id FOR UPDATE;

    RETURN QUERY
    UPDATE webhook_delivery_log AS log
    SET status = 'dead_letter',
        event_data = CASE
            WHEN webhook_has_payload(log.event_data) THEN log.event_data
            ELSE w.event_data::jsonb END,
        altered = w.altered,
        attempts = greatest(log.attempts, w.attempt),
        error_class = coalesce(w.error_class, log.error_class, 'unknown'),
        error_message = coalesce(w.error_message, log.error_message, 'No attempt left a reason.')
    FROM unnest(p_ids, p_attempts, p_error_classes, p_error_messages, p_event_data, p_altered)
        AS w (id, attempt, error_class, error_message, event_data, altered)
    WHERE log.id = w.id AND log.id BETWEEN first_id AND last_id
      AND log.status IN ('pending', 'processing', 'failed')
    RETURNING log.id, log.attempts, log.error_class, log.error_message;
END
$$;

CREATE TABLE public.webhook_processing (
    singleton boolean DEFAULT true NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    changed_at timestamp with time zone,
    changed_by text,
    reason text,
    CONSTRAINT webhook_processing_singleton_check CHECK (singleton)
);

COMMENT ON TABLE public.webhook_processing IS 'One row: whether processors take work. Null: never changed.';

CREATE FUNCTION public.set_webhook_processing(p_paused boolean, p_actor text, p_role text, p_reason text) RETURNS public.webhook_processing
    LANGUAGE plpgsql
    AS $$
DECLARE
    standing webhook_processing;
BEGIN
    UPDATE webhook_processing
    SET paused = p_paused, changed_at = clock_timestamp(), changed_by = p_actor, reason = p_reason
    WHERE paused <> p_paused
    RETURNING * INTO standing;
    IF NOT FOUND THEN
        SELECT * INTO STRICT standing FROM webhook_processing;
        RETURN standing;
    END IF;

    INSERT INTO webhook_audit (at, actor, role, action, reason)
    VALUES (standing.changed_at, p_actor, p_role,
            CASE WHEN p_paused THEN 'pause' ELSE 'resume' END, p_reason);
    PERFORM pg_notify('webhook_processing', '');
    RETURN standing;
END
$$;

CREATE FUNCTION public.voice_call_progress(status text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT coalesce(array_position(
        ARRAY['scheduled', 'queued', 'ringing', 'in-progress', 'forwarding', 'ended'], status), 0)
$$;

CREATE FUNCTION public.webhook_created_at(id uuid) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT to_timestamp(('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint / 1000.0)
$$;

CREATE FUNCTION public.webhook_has_payload(event_data jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT pg_column_size(event_data) > 8
$$;

CREATE FUNCTION public.webhook_id_at(moment timestamp with time zone) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0')
            || '70008000000000000000')::uuid
$$;

CREATE FUNCTION public.webhook_is_finished(status text, resolution text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT status IN ('completed', 'duplicate') OR (status = 'dead_letter' AND resolution IS NOT NULL)
$$;

CREATE FUNCTION public.webhook_partition_days() RETURNS TABLE(day date)
    LANGUAGE sql STABLE
    AS $$
    -- Materialized, or a caller's condition on the day would be tried on every table there is.
    WITH partition AS MATERIALIZED (
        SELECT child.relname
        FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'webhook_delivery_log'::regclass
    )
    SELECT to_date(right(relname, 8), 'YYYYMMDD') FROM partition ORDER BY 1
$$;

CREATE FUNCTION public.webhook_stats_after_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.webhook_stats_after_update() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.webhook_stats_hours_from() RETURNS timestamp with time zone
    LANGUAGE sql
    AS $$
    SELECT date_trunc('day', clock_timestamp() - interval '31 days', 'UTC')
$$;

CREATE FUNCTION public.webhook_stats_minutes_from() RETURNS timestamp with time zone
    LANGUAGE sql
    AS $$
    SELECT date_trunc('hour', clock_timestamp() - interval '48 hours', 'UTC')
$$;

CREATE FUNCTION public.webhook_stats_of(p_org uuid, p_from timestamp with time zone, p_to timestamp with time zone) RETURNS TABLE(event_type text, completed bigint, failed bigint, dead_letter bigint, pending bigint, duplicates bigint, attempts bigint)
    LANGUAGE sql STABLE
    AS $$
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

CREATE TABLE public.voice_calls (
    org_id uuid NOT NULL,
    call_id text NOT NULL,
    call_type text,
    status text,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    ended_reason text,
    duration_seconds double precision,
    cost double precision,
    customer_number text,
    assistant_id text,
    phone_number_id text,
    summary text,
    transcript text,
    events integer DEFAULT 0 NOT NULL,
    first_event_at timestamp with time zone NOT NULL,
    last_event_at timestamp with time zone NOT NULL
);

COMMENT ON COLUMN public.voice_calls.events IS 'How many events of the call were processed, each counted once.';

CREATE TABLE public.webhook_audit (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    role text NOT NULL,
    org_id uuid,
    action text NOT NULL,
    job_id uuid,
    reason text,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT webhook_audit_action_check CHECK ((action = ANY (ARRAY['retry'::text, 'bulk_retry'::text, 'bulk_retry_ended'::text, 'discard'::text, 'pause'::text, 'resume'::text])))
);

COMMENT ON TABLE public.webhook_audit IS 'Who changed what, when and why. Rows are only added.';

COMMENT ON COLUMN public.webhook_audit.org_id IS 'Whose webhook it was; null for what concerns all organisations.';

ALTER TABLE public.webhook_audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.webhook_audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.webhook_delivery_attempts (
    delivery_id uuid NOT NULL,
    attempt integer NOT NULL,
    org_id uuid NOT NULL,
    outcome text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone NOT NULL,
    duration_ms double precision GENERATED ALWAYS AS ((EXTRACT(epoch FROM (ended_at - started_at)) * (1000)::numeric)) STORED,
    error_class text,
    error_message text,
    trace_id text,
    span_id text,
    CONSTRAINT webhook_delivery_attempts_outcome_check CHECK ((outcome = ANY (ARRAY['completed'::text, 'failed'::text, 'permanent'::text, 'duplicate'::text])))
)
PARTITION BY RANGE (delivery_id);

COMMENT ON TABLE public.webhook_delivery_attempts IS 'One row per attempt that ended. A redelivery repeats the outcome that stands here.';

CREATE TABLE public.webhook_delivery_log (
    id uuid NOT NULL,
    org_id uuid NOT NULL,
    job_id text GENERATED ALWAYS AS ((id)::text) STORED,
    endpoint_id text NOT NULL,
    event_type text NOT NULL,
    event_data jsonb NOT NULL,
    altered boolean DEFAULT false NOT NULL,
    status text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    max_attempts integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    last_attempt_at timestamp with time zone,
    completed_at timestamp with time zone,
    error_message text,
    error_class text,
    call_id text,
    dedup_key text,
    gateway_life uuid,
    duplicate_of uuid,
    retry_of uuid,
    retried_as uuid,
    resolution text,
    resolved_at timestamp with time zone,
    CONSTRAINT webhook_delivery_log_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'processing'::text, 'completed'::text, 'failed'::text, 'dead_letter'::text, 'duplicate'::text])))
)
PARTITION BY RANGE (id);
ALTER TABLE ONLY public.webhook_delivery_log ALTER COLUMN event_data SET STORAGE EXTERNAL;

COMMENT ON TABLE public.webhook_delivery_log IS 'One row per accepted webhook.';

COMMENT ON COLUMN public.webhook_delivery_log.altered IS 'event_data differs from what arrived, because JSONB could not hold it.';

CREATE TABLE public.webhook_gateway_ledger (
    gateway_life uuid NOT NULL,
    written_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    accepted bigint NOT NULL
);

CREATE TABLE public.webhook_inbox (
    org_id uuid NOT NULL,
    dedup_key text NOT NULL,
    delivery_id uuid NOT NULL,
    claimed_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE UNLOGGED TABLE public.webhook_processors (
    id uuid NOT NULL,
    prefetch integer NOT NULL,
    in_hand integer NOT NULL,
    is_paused boolean NOT NULL,
    started_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    CONSTRAINT webhook_processors_check CHECK (((in_hand >= 0) AND (in_hand <= prefetch))),
    CONSTRAINT webhook_processors_prefetch_check CHECK ((prefetch > 0))
)
WITH (fillfactor='50');

COMMENT ON COLUMN public.webhook_processors.id IS 'One per life of a process.';

COMMENT ON COLUMN public.webhook_processors.in_hand IS 'Webhooks taken from the broker and not answered yet.';

COMMENT ON COLUMN public.webhook_processors.is_paused IS 'Whether it has noticed a pause.';

CREATE TABLE public.webhook_stats (
    org_id uuid NOT NULL,
    grain text NOT NULL,
    bucket timestamp with time zone NOT NULL,
    event_type text NOT NULL,
    completed bigint NOT NULL,
    failed bigint NOT NULL,
    dead_letter bigint NOT NULL,
    pending bigint NOT NULL,
    duplicates bigint NOT NULL,
    attempts bigint NOT NULL,
    CONSTRAINT webhook_stats_grain_check CHECK ((grain = ANY (ARRAY['minute'::text, 'hour'::text])))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02');

COMMENT ON TABLE public.webhook_stats IS 'Webhooks by the minute (48 hours) and by the hour (31 days) in which they were created.';

COMMENT ON COLUMN public.webhook_stats.org_id IS 'ffffffff-ffff-ffff-ffff-ffffffffffff: of all organisations together.';

CREATE TABLE public.webhook_stats_deltas (
    org_id uuid NOT NULL,
    minute timestamp with time zone NOT NULL,
    event_type text NOT NULL,
    completed integer NOT NULL,
    failed integer NOT NULL,
    dead_letter integer NOT NULL,
    pending integer NOT NULL,
    duplicates integer NOT NULL,
    attempts integer NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_insert_threshold='-1', autovacuum_vacuum_cost_delay='0', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='1000000');

COMMENT ON TABLE public.webhook_stats_deltas IS 'What statements changed in the log and no bucket holds yet. Never updated, only folded.';

ALTER TABLE ONLY public.voice_calls
    ADD CONSTRAINT voice_calls_pkey PRIMARY KEY (org_id, call_id);

ALTER TABLE ONLY public.webhook_audit
    ADD CONSTRAINT webhook_audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_delivery_attempts
    ADD CONSTRAINT webhook_delivery_attempts_pkey PRIMARY KEY (delivery_id, attempt);

ALTER TABLE ONLY public.webhook_delivery_log
    ADD CONSTRAINT webhook_delivery_log_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_inbox
    ADD CONSTRAINT webhook_inbox_pkey PRIMARY KEY (org_id, dedup_key);

ALTER TABLE ONLY public.webhook_processing
    ADD CONSTRAINT webhook_processing_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.webhook_processors
    ADD CONSTRAINT webhook_processors_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_stats
    ADD CONSTRAINT webhook_stats_pkey PRIMARY KEY (org_id, grain, bucket, event_type);

CREATE INDEX webhook_delivery_log_error ON ONLY public.webhook_delivery_log USING btree (id) WHERE (error_class IS NOT NULL);

CREATE INDEX webhook_delivery_log_org ON ONLY public.webhook_delivery_log USING btree (org_id, id);

CREATE INDEX webhook_delivery_log_org_error ON ONLY public.webhook_delivery_log USING btree (org_id, id) WHERE (error_class IS NOT NULL);

CREATE INDEX webhook_gateway_ledger_life ON public.webhook_gateway_ledger USING btree (gateway_life, accepted);

CREATE INDEX webhook_inbox_claimed_at ON public.webhook_inbox USING brin (claimed_at);

CREATE TRIGGER webhook_stats_inserted AFTER INSERT ON public.webhook_delivery_log REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.webhook_stats_after_insert();

CREATE TRIGGER webhook_stats_updated AFTER UPDATE ON public.webhook_delivery_log REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.webhook_stats_after_update();

REVOKE ALL ON FUNCTION public.fold_webhook_stats(p_most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.prune_webhook_stats() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.rebuild_webhook_stats() FROM PUBLIC;
