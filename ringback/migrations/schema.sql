-- The schema after the last migration, for reading and for reviewing changes of it.
-- Nothing is built from this file; ringback/migrations/README.md says how to renew it.

CREATE ROLE ringback_gateway NOLOGIN NOINHERIT;
CREATE ROLE ringback_metrics NOLOGIN NOINHERIT;
CREATE ROLE ringback_operator NOLOGIN NOINHERIT;
CREATE ROLE ringback_processor NOLOGIN NOINHERIT;
CREATE ROLE ringback_service NOLOGIN NOINHERIT;
CREATE ROLE ringback_tenant NOLOGIN NOINHERIT;
CREATE ROLE ringback_tenant_operator NOLOGIN NOINHERIT;
GRANT ringback_operator TO ringback_metrics;
GRANT ringback_service TO ringback_metrics;
GRANT ringback_tenant TO ringback_metrics;
GRANT ringback_tenant_operator TO ringback_metrics;

CREATE FUNCTION public.acquire_webhook_alert_lease(p_holder uuid, p_lease interval) RETURNS integer
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    INSERT INTO webhook_alert_lease AS lease (holder, expires_at)
    VALUES (p_holder, clock_timestamp() + p_lease)
    ON CONFLICT (singleton) DO UPDATE
    SET holder = excluded.holder, expires_at = excluded.expires_at
    WHERE (lease.holder = p_holder OR lease.expires_at < clock_timestamp())
      AND lease.not_before < clock_timestamp()
    RETURNING failures
$$;

CREATE FUNCTION public.add_webhook_forwards(p_forwards json, p_bodies bytea[], only_ids uuid[]) RETURNS void
    LANGUAGE sql
    AS $$
    WITH wanted AS MATERIALIZED (
        SELECT webhook_forward_id(received.id, w.forward) AS id, w.forward, w.headers, w.body,
               received.id AS received, received.org_id, received.endpoint_id,
               received.event_type, received.call_id, received.gateway_instance_id,
               w.max_attempts
        FROM ROWS FROM (
            json_to_recordset(p_forwards) AS (
                delivery_id uuid, forward text, max_attempts integer, headers json),
            unnest(p_bodies)
        ) AS w (delivery_id, forward, max_attempts, headers, body)
        CROSS JOIN LATERAL webhook_received_as(w.delivery_id) AS root
        JOIN webhook_delivery_log AS received ON received.id = root
        WHERE w.delivery_id = ANY (only_ids)
          AND (root = w.delivery_id OR NOT EXISTS (
              SELECT FROM webhook_delivery_log AS earlier
              WHERE earlier.forward_of = root
                AND earlier.id BETWEEN webhook_forwards_from(root) AND webhook_forwards_to(root)))
    ), added AS (
        INSERT INTO webhook_delivery_log (
            id, org_id, endpoint_id, event_type, event_data, status, max_attempts, created_at,
            call_id, gateway_instance_id, forward, forward_of)
        SELECT id, org_id, endpoint_id, event_type, '{}', 'pending', max_attempts,
               webhook_created_at(id), call_id, gateway_instance_id, forward, received
        FROM wanted
        ORDER BY id
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    INSERT INTO webhook_waits (
        delivery_id, attempt, org_id, event_type, reason, due_at, headers, body)
    SELECT wanted.id, 1, wanted.org_id, wanted.event_type, 'forward', clock_timestamp(),
           (wanted.headers::jsonb || jsonb_build_object('forward_of', wanted.received))::json,
           wanted.body
    FROM added JOIN wanted USING (id)
    ORDER BY wanted.id
    ON CONFLICT DO NOTHING
$$;

CREATE FUNCTION public.add_webhook_retry(p_original uuid, p_new_id uuid, p_keep_dedup_key boolean, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_action text, p_details jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    original webhook_delivery_log%ROWTYPE;
BEGIN
    SELECT * INTO STRICT original FROM webhook_delivery_log WHERE id = p_original;
    IF NOT p_keep_dedup_key THEN
        original.dedup_key := NULL;
    END IF;
    INSERT INTO webhook_retries (
        original, new_id, org_id, actor, role, reason, request_id, run_id, received_at)
    VALUES (
        p_original, p_new_id, original.org_id, p_actor, p_role, p_reason, p_request_id,
        (p_details ->> 'run')::uuid,
        coalesce((SELECT received_at FROM webhook_retries WHERE new_id = p_original),
                 original.created_at));
    PERFORM transfer_webhook_claim(original.org_id, original.dedup_key, p_original, p_new_id);
    INSERT INTO webhook_delivery_log (
        id, org_id, endpoint_id, event_type, event_data, altered, status, max_attempts,
        created_at, call_id, dedup_key, gateway_instance_id, retry_of, forward, forward_of,
        retry_schedule)
    VALUES (
        p_new_id, original.org_id, original.endpoint_id, original.event_type, original.event_data,
        original.altered, 'pending',
        coalesce(cardinality(string_to_array(original.retry_schedule, ',')) + 1, p_max_attempts),
        webhook_created_at(p_new_id), original.call_id, original.dedup_key,
        original.gateway_instance_id, p_original, original.forward, original.forward_of,
        original.retry_schedule);
    PERFORM resolve_webhook(p_original, 'retried', p_new_id);
    INSERT INTO webhook_audit (actor, role, org_id, action, job_id, reason, details)
    VALUES (p_actor, p_role, original.org_id, p_action, p_original, nullif(p_reason, ''),
            p_details || jsonb_build_object('new_job_id', p_new_id));
END
$$;

CREATE FUNCTION public.add_webhook_waits(p_waits json, p_bodies bytea[], only_ids uuid[]) RETURNS void
    LANGUAGE sql
    AS $$
    INSERT INTO webhook_waits AS wait (
        delivery_id, attempt, org_id, event_type, reason, destination, order_key, due_at, headers,
        body)
    SELECT w.delivery_id, w.attempt, w.org_id, w.event_type, w.reason, w.destination, w.order_key,
           coalesce(clock_timestamp() + w.delay_ms * interval '1 millisecond', 'infinity'),
           w.headers, w.body
    FROM ROWS FROM (
        json_to_recordset(p_waits) AS (
            delivery_id uuid, attempt integer, org_id uuid, event_type text, reason text,
            destination text, order_key text, delay_ms double precision, headers json),
        unnest(p_bodies)
    ) AS w (delivery_id, attempt, org_id, event_type, reason, destination, order_key, delay_ms,
            headers, body)
    WHERE w.delivery_id = ANY (only_ids)
    ORDER BY w.delivery_id
    ON CONFLICT (delivery_id) DO UPDATE
    SET attempt = excluded.attempt, reason = excluded.reason, destination = excluded.destination,
        order_key = excluded.order_key, due_at = excluded.due_at, created_at = excluded.created_at,
        leased_until = NULL, failures = 0, publish_after = NULL, headers = excluded.headers,
        body = excluded.body
    WHERE wait.cancellation IS NULL
      AND (wait.attempt < excluded.attempt
           OR (wait.attempt = excluded.attempt AND wait.leased_until IS NOT NULL))
$$;

CREATE FUNCTION public.begin_webhook_attempts(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[]) RETURNS TABLE(delivery_id uuid, recorded_outcome text, duplicate_of uuid)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    first_id   uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u LIMIT 1);
    last_id    uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u DESC LIMIT 1);
    duplicates uuid[];
    owners     uuid[];
    begun      uuid[];
BEGIN
    SELECT array_agg(c.delivery_id), array_agg(c.owner_id) INTO duplicates, owners
    FROM claim_webhook_events(p_ids, p_org_ids, p_dedup_keys, p_ids) AS c;

    PERFORM ensure_webhook_rows(
        p_ids, p_org_ids, p_endpoint_ids, p_event_types, p_event_data, p_altered, p_max_attempts,
        p_call_ids, p_dedup_keys, p_gateway_instance_ids, p_retries_of,
        ARRAY(SELECT u FROM unnest(p_ids) AS u
              EXCEPT
              SELECT id FROM webhook_delivery_log
              WHERE id = ANY (p_ids) AND id BETWEEN first_id AND last_id));

    RETURN QUERY
    SELECT w.id,
           coalesce(
               done.outcome,
               CASE WHEN log.status IN ('completed', 'duplicate') THEN log.status END),
           claim.owner_id
    FROM unnest(p_ids, p_attempts) AS w (id, attempt)
    LEFT JOIN unnest(duplicates, owners) AS claim (id, owner_id) ON claim.id = w.id
    LEFT JOIN webhook_delivery_attempts AS done
        ON done.delivery_id = w.id AND done.attempt = w.attempt
        AND done.delivery_id BETWEEN first_id AND last_id
    LEFT JOIN webhook_delivery_log AS log
        ON log.id = w.id AND log.id BETWEEN first_id AND last_id;

    SELECT array_agg(locked.id) INTO begun FROM (
        SELECT log.id FROM webhook_delivery_log AS log
        WHERE log.id = ANY (p_ids) AND log.id BETWEEN first_id AND last_id
          AND log.status IN ('pending', 'failed')
          -- A redelivery of a finished attempt does not begin.
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

CREATE FUNCTION public.begin_webhook_transaction(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[]) RETURNS TABLE(recorded_outcome text, duplicate_of uuid, transaction_id text, role_name text, search_path text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    webhook_id     uuid := p_ids[1];
    current_status text;
    owner          uuid;
BEGIN
    SELECT b.duplicate_of INTO owner
    FROM begin_webhook_attempts(
        p_ids, p_attempts, p_org_ids, p_endpoint_ids, p_event_types, p_event_data, p_altered,
        p_max_attempts, p_call_ids, p_dedup_keys, p_gateway_instance_ids, p_retries_of) AS b;

    SELECT log.status INTO current_status
    FROM webhook_delivery_log AS log WHERE log.id = webhook_id FOR UPDATE;

    RETURN QUERY
    SELECT coalesce(
               (SELECT done.outcome FROM webhook_delivery_attempts AS done
                WHERE done.delivery_id = webhook_id AND done.attempt = p_attempts[1]),
               CASE WHEN current_status IN ('completed', 'duplicate') THEN current_status END),
           owner, pg_current_xact_id()::text, current_user::text, current_setting('search_path');
END
$$;

CREATE FUNCTION public.change_webhook_retry_run(p_id uuid, p_state text, p_message text, p_actor text, p_role text, p_reason text) RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    run record;
BEGIN
    SELECT r.state, r.org_id INTO run FROM webhook_retry_runs AS r WHERE r.id = p_id FOR UPDATE;
    IF (CASE p_state
        WHEN 'running' THEN run.state = 'paused'
        WHEN 'paused' THEN run.state IN ('running', 'held')
        ELSE run.state IN ('running', 'held', 'paused')
    END) THEN
        UPDATE webhook_retry_runs
        SET state = p_state, message = p_message, allowed_rate = 0, updated_at = clock_timestamp()
        WHERE id = p_id;
        INSERT INTO webhook_audit (actor, role, org_id, action, reason, details)
        VALUES (p_actor, p_role, run.org_id,
                CASE p_state WHEN 'running' THEN 'bulk_retry_resumed'
                             WHEN 'paused' THEN 'bulk_retry_paused'
                             ELSE 'bulk_retry_stopped' END,
                p_reason, jsonb_build_object('run', p_id));
    END IF;
    RETURN run.state;
END
$$;

CREATE FUNCTION public.change_webhook_waits(p_action text, p_id uuid, p_wait_reason text, p_destination text, p_limit integer, p_actor text, p_role text, p_reason text, p_request_id uuid) RETURNS TABLE(verdict text, changed integer, has_more boolean)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
    ids  uuid[];
    wait record;
BEGIN
    IF p_id IS NULL THEN
        ids := ARRAY(
            SELECT w.delivery_id FROM webhook_waits AS w
            WHERE (p_wait_reason IS NULL OR w.reason = p_wait_reason)
              AND (p_destination IS NULL OR coalesce(w.destination, '') = p_destination)
              AND (w.leased_until IS NULL OR w.leased_until < now()) AND w.reason <> 'cancelled'
              AND (p_action = 'cancel' OR (w.due_at > now() AND w.due_at < 'infinity'))
            ORDER BY w.due_at, w.delivery_id
            LIMIT p_limit + 1
            FOR UPDATE SKIP LOCKED);
        has_more := cardinality(ids) > p_limit;
        ids := ids[:p_limit];
        verdict := 'done';
    ELSE
        has_more := false;
        SELECT w.delivery_id, w.reason, w.due_at, w.leased_until INTO wait
        FROM webhook_waits AS w WHERE w.delivery_id = p_id FOR UPDATE;
        -- Read after the lock: the same request may have waited for it, too.
        verdict := CASE
            WHEN EXISTS (
                SELECT FROM webhook_audit
                WHERE request_id = p_request_id AND job_id = p_id
                  AND action = p_action || '_wait') THEN 'repeated'
            WHEN wait.delivery_id IS NULL THEN
                CASE WHEN EXISTS (SELECT FROM webhook_delivery_log WHERE id = p_id)
                     THEN 'not_waiting' ELSE 'not_found' END
            WHEN wait.leased_until >= now() THEN 'publishing'
            WHEN wait.reason = 'cancelled' THEN 'cancelled'
            WHEN p_action = 'release' AND wait.due_at = 'infinity' THEN 'in_order'
            ELSE 'done' END;
        ids := CASE
            WHEN verdict = 'done' AND (p_action = 'cancel' OR wait.due_at > now())
            THEN ARRAY[p_id] ELSE '{}'::uuid[] END;
    END IF;

    WITH before AS (
        SELECT w.delivery_id, w.org_id, w.attempt, w.reason, w.destination, w.due_at
        FROM webhook_waits AS w WHERE w.delivery_id = ANY (ids)
    ), changed_waits AS (
        UPDATE webhook_waits AS w
        SET due_at = now(),
            publish_after = NULL,
            -- So that a processor that was only slow does not delete it.
            leased_until = NULL,
            reason = CASE WHEN p_action = 'cancel' THEN 'cancelled' ELSE w.reason END,
            -- No breaker and no pace delays what only becomes a dead letter.
            destination = CASE WHEN p_action = 'cancel' THEN NULL ELSE w.destination END,
            cancellation = CASE
                WHEN p_action = 'cancel'
                THEN format('Cancelled by %s: %s', p_actor, p_reason) END
        FROM before WHERE w.delivery_id = before.delivery_id
    )
    INSERT INTO webhook_audit (actor, role, org_id, action, job_id, reason, details, request_id)
    SELECT p_actor, p_role, before.org_id, p_action || '_wait', before.delivery_id, p_reason,
           jsonb_strip_nulls(jsonb_build_object(
               'attempt', before.attempt, 'wait_reason', before.reason,
               'destination', before.destination, 'due_at', before.due_at)),
           p_request_id
    FROM before;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN NEXT;
END
$$;

CREATE FUNCTION public.check_webhook_turns(p_gap interval, p_max_parked integer) RETURNS TABLE(passed uuid[], longest_stop_s double precision)
    LANGUAGE plpgsql
    AS $$
DECLARE
    turn        record;
    parked      bigint;
    log_status  text;
    is_retrying boolean;
BEGIN
    passed := '{}';
    FOR turn IN
        SELECT * FROM webhook_turns
        WHERE checked_at < clock_timestamp() - interval '4 seconds'
        ORDER BY checked_at LIMIT 1000 FOR UPDATE SKIP LOCKED
    LOOP
        SELECT log.status INTO log_status
        FROM webhook_delivery_log AS log WHERE log.id = turn.delivery_id;
        SELECT count(*) INTO parked FROM (
            SELECT FROM webhook_waits AS wait
            WHERE wait.org_id = turn.org_id AND wait.order_key = turn.order_key
              AND wait.reason = 'order'
            LIMIT p_max_parked + 1) AS behind;
        is_retrying := NOT EXISTS (
            SELECT FROM webhook_waits AS wait
            WHERE wait.delivery_id = turn.delivery_id AND wait.reason <> 'retry');
        IF log_status IN ('completed', 'duplicate', 'dead_letter') THEN
            PERFORM give_webhook_turn(turn.org_id, turn.order_key, true);
        ELSIF is_retrying
            AND (turn.idle >= p_gap OR (parked > p_max_parked AND log_status = 'failed'))
        THEN
            IF parked > 0 THEN
                passed := passed || turn.delivery_id;
            END IF;
            PERFORM give_webhook_turn(turn.org_id, turn.order_key, false);
        ELSE
            UPDATE webhook_turns AS checked
            SET idle = CASE WHEN is_retrying
                    THEN turn.idle + least(clock_timestamp() - turn.checked_at, interval '10 s')
                    ELSE turn.idle END,
                checked_at = clock_timestamp()
            WHERE checked.org_id = turn.org_id AND checked.order_key = turn.order_key;
        END IF;
    END LOOP;
    SELECT coalesce(extract(epoch FROM clock_timestamp() - min(stopped.since)), 0)
    INTO longest_stop_s
    FROM webhook_turns AS stopped
    WHERE EXISTS (
        SELECT FROM webhook_waits AS wait
        WHERE wait.org_id = stopped.org_id AND wait.order_key = stopped.order_key
          AND wait.reason = 'order' AND wait.delivery_id <> stopped.delivery_id);
    RETURN NEXT;
END
$$;

CREATE FUNCTION public.claim_webhook_events(ids uuid[], org_ids uuid[], dedup_keys text[], only_ids uuid[]) RETURNS TABLE(delivery_id uuid, owner_id uuid)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    claimed integer;
BEGIN
    INSERT INTO webhook_inbox (org_id, dedup_key, delivery_id)
    SELECT w.org_id, w.dedup_key, w.id
    FROM unnest(ids, org_ids, dedup_keys) AS w (id, org_id, dedup_key)
    WHERE w.dedup_key IS NOT NULL AND w.id = ANY (only_ids)
    ORDER BY w.org_id, w.dedup_key, w.id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS claimed = ROW_COUNT;
    IF claimed = cardinality(only_ids) THEN
        RETURN;
    END IF;

    RETURN QUERY
    SELECT w.id, inbox.delivery_id
    FROM unnest(ids, org_ids, dedup_keys) AS w (id, org_id, dedup_key)
    JOIN webhook_inbox AS inbox ON inbox.org_id = w.org_id AND inbox.dedup_key = w.dedup_key
    WHERE w.id = ANY (only_ids) AND inbox.delivery_id <> w.id;
END
$$;

CREATE PROCEDURE public.cleanup_old_webhook_logs(IN retention_days integer DEFAULT 30, IN batch_size integer DEFAULT 5000)
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.close_webhook_alerts(p_holder uuid, p_org_ids uuid[], p_event_types text[], p_error_classes text[], p_last_ats timestamp with time zone[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NOT lock_webhook_alerts(p_holder) THEN
        RETURN;
    END IF;
    DELETE FROM webhook_alerts AS alert
    USING unnest(p_org_ids, p_event_types, p_error_classes, p_last_ats)
        AS w (org_id, event_type, error_class, last_at)
    WHERE alert.org_id = w.org_id AND alert.event_type = w.event_type
      AND alert.error_class = w.error_class AND alert.last_at = w.last_at;
END
$$;

CREATE FUNCTION public.close_webhook_forward_notices(p_holder uuid, p_destinations text[], p_stopped_ats timestamp with time zone[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NOT lock_webhook_alerts(p_holder) THEN
        RETURN;
    END IF;
    DELETE FROM webhook_forward_notices AS notice
    USING unnest(p_destinations, p_stopped_ats) AS w (destination, stopped_at)
    WHERE notice.destination = w.destination AND notice.stopped_at = w.stopped_at;
END
$$;

CREATE FUNCTION public.compare_webhook_duplicates(only_ids uuid[]) RETURNS uuid[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    equal_ids uuid[];
BEGIN
    WITH compared AS (
        UPDATE webhook_delivery_log AS copy
        SET duplicate_differs = CASE
                WHEN webhook_has_payload(first.event_data)
                THEN webhook_content(copy.event_data) <> webhook_content(first.event_data) END
        FROM webhook_delivery_log AS first
        WHERE copy.id = ANY (only_ids) AND copy.status = 'duplicate' AND first.id = copy.duplicate_of
        RETURNING copy.id, copy.duplicate_differs
    )
    SELECT coalesce(array_agg(id), '{}') INTO equal_ids
    FROM compared WHERE NOT duplicate_differs;
    RETURN equal_ids;
END
$$;

CREATE FUNCTION public.count_unresolved_dead_letters() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT count(*) FROM webhook_delivery_log WHERE is_unresolved
$$;

CREATE FUNCTION public.create_webhook_partitions(day date) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.create_webhook_policies(target regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    EXECUTE format(
        'CREATE POLICY every_row ON %s TO ringback_processor, ringback_service,
             ringback_operator USING (true)', target);
    EXECUTE format(
        'CREATE POLICY own_rows ON %s TO ringback_tenant, ringback_tenant_operator
             USING (org_id = (SELECT webhook_org()))', target);
END
$$;

CREATE FUNCTION public.deallocate_prepared_statements() RETURNS SETOF text
    LANGUAGE plpgsql
    AS $$
DECLARE
    statement record;
BEGIN
    FOR statement IN SELECT s.name, s.from_sql FROM pg_prepared_statements AS s LOOP
        IF statement.from_sql THEN
            EXECUTE format('DEALLOCATE %I', statement.name);
        ELSE
            RETURN NEXT statement.name;
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION public.delete_finished_webhooks(old_day date, batch_size integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $_$
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
$_$;

CREATE FUNCTION public.delete_order_waits(p_ids uuid[]) RETURNS void
    LANGUAGE sql
    AS $$
    WITH locked AS MATERIALIZED (
        SELECT delivery_id FROM webhook_waits
        WHERE delivery_id = ANY (p_ids) AND reason = 'order'
        ORDER BY delivery_id FOR UPDATE)
    DELETE FROM webhook_waits AS wait USING locked WHERE wait.delivery_id = locked.delivery_id
$$;

CREATE FUNCTION public.discard_webhook(p_id uuid, p_actor text, p_role text, p_reason text) RETURNS TABLE(verdict text, new_id uuid)
    LANGUAGE plpgsql
    AS $$
DECLARE
    original record;
    refusal  text;
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_delivery_log WHERE id = p_id) THEN
        RETURN QUERY SELECT 'not_found', NULL::uuid;
        RETURN;
    END IF;
    PERFORM lock_webhook_decision(p_id);
    SELECT log.org_id, log.status, log.resolution, log.retried_as INTO original
    FROM webhook_delivery_log AS log WHERE log.id = p_id;
    refusal := webhook_resolution_conflict(original.status, original.resolution);
    IF refusal IS NULL THEN
        PERFORM resolve_webhook(p_id, 'discarded', NULL);
        INSERT INTO webhook_audit (actor, role, org_id, action, job_id, reason, details)
        VALUES (p_actor, p_role, original.org_id, 'discard', p_id, p_reason, '{}');
    END IF;
    RETURN QUERY SELECT coalesce(refusal, 'done'), original.retried_as;
END
$$;

CREATE FUNCTION public.drop_finished_webhook_partitions(old_day date) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET lock_timeout TO '500ms'
    AS $$
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

CREATE FUNCTION public.enable_webhook_row_security(target regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    owner text := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = target);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY owner ON %s TO %I USING (true)', target, owner);
END
$$;

CREATE FUNCTION public.end_webhook_turns(p_ids uuid[]) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
DECLARE
    turn     record;
    is_given boolean := false;
BEGIN
    PERFORM delete_order_waits(p_ids);
    FOR turn IN
        SELECT org_id, order_key FROM webhook_turns
        WHERE delivery_id = ANY (p_ids) ORDER BY org_id, order_key FOR UPDATE
    LOOP
        is_given := give_webhook_turn(turn.org_id, turn.order_key, true) OR is_given;
    END LOOP;
    RETURN is_given;
END
$$;

CREATE FUNCTION public.ensure_webhook_partitions(first_day date DEFAULT (((now() AT TIME ZONE 'UTC'::text))::date - 1), last_day date DEFAULT (((now() AT TIME ZONE 'UTC'::text))::date + 7)) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.ensure_webhook_partitions_for(days date[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
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

CREATE FUNCTION public.ensure_webhook_rows(ids uuid[], org_ids uuid[], endpoint_ids text[], event_types text[], event_data text[], altered boolean[], max_attempts integer[], call_ids text[], dedup_keys text[], gateway_instance_ids uuid[], retries_of uuid[], only_ids uuid[]) RETURNS void
    LANGUAGE sql
    AS $$
    INSERT INTO webhook_delivery_log (
        id, org_id, endpoint_id, event_type, event_data, altered, status, max_attempts,
        created_at, call_id, dedup_key, gateway_instance_id, retry_of)
    SELECT w.id, w.org_id, w.endpoint_id, w.event_type, w.event_data::jsonb, w.altered, 'pending',
           w.max_attempts, webhook_created_at(w.id), w.call_id, w.dedup_key,
           w.gateway_instance_id, w.retry_of
    FROM unnest(ids, org_ids, endpoint_ids, event_types, event_data, altered, max_attempts,
                call_ids, dedup_keys, gateway_instance_ids, retries_of)
        AS w (id, org_id, endpoint_id, event_type, event_data, altered, max_attempts,
              call_id, dedup_key, gateway_instance_id, retry_of)
    WHERE w.id = ANY (only_ids)
    ORDER BY w.id
    ON CONFLICT DO NOTHING
$$;

CREATE FUNCTION public.expired_webhook_days(retention_days integer) RETURNS TABLE(day date)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT known.day
    FROM webhook_partition_days() AS known
    LEFT JOIN webhook_extra_partitions AS extra ON extra.day = known.day,
         (SELECT (now() AT TIME ZONE 'UTC')::date AS today) AS now_utc
    WHERE (known.day < today - retention_days OR (extra.day IS NOT NULL AND known.day > today + 7))
      AND coalesce((extra.created_at AT TIME ZONE 'UTC')::date, '-infinity') < today - retention_days
    ORDER BY known.day
$$;

CREATE FUNCTION public.finish_webhook_attempts(p_ids uuid[], p_attempts integer[], p_outcomes text[], p_started_at timestamp with time zone[], p_ended_at timestamp with time zone[], p_error_classes text[], p_error_messages text[], p_trace_ids text[], p_span_ids text[], p_ends uuid[], p_call_updates json, p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_wait_bodies bytea[], p_answers text[], p_forwards json, p_forward_bodies bytea[], p_ordered uuid[], p_retry_schedules text[]) RETURNS TABLE(delivery_id uuid, final_outcome text, is_fresh boolean, duplicate_of uuid, has_given_turn boolean)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    ids        uuid[] := p_ids;
    is_alone   boolean := cardinality(p_ids) = 1;
    first_id   uuid;
    last_id    uuid;
    fresh      uuid[];
    claimed    integer;
    duplicates uuid[] := '{}';
    owners     uuid[] := '{}';
    missing    uuid[];
    completed  uuid[];
    copies     uuid[] := '{}';
    is_given   boolean := false;
BEGIN
    IF NOT is_alone THEN
        ids := ARRAY(SELECT u FROM unnest(p_ids) AS u ORDER BY u);
    END IF;
    first_id := ids[1];
    last_id := ids[cardinality(ids)];

    WITH written AS (
        INSERT INTO webhook_delivery_attempts AS a (
            delivery_id, attempt, org_id, outcome, started_at, ended_at,
            error_class, error_message, trace_id, span_id, answer)
        SELECT w.id, w.attempt, w.org_id, w.outcome, w.started_at, w.ended_at, w.error_class,
               w.error_message, w.trace_id, w.span_id, w.answer::jsonb
        FROM unnest(p_ids, p_attempts, p_org_ids, p_outcomes, p_started_at, p_ended_at,
                    p_error_classes, p_error_messages, p_trace_ids, p_span_ids, p_answers)
            AS w (id, attempt, org_id, outcome, started_at, ended_at,
                  error_class, error_message, trace_id, span_id, answer)
        ORDER BY w.id
        ON CONFLICT DO NOTHING
        RETURNING a.delivery_id
    )
    SELECT coalesce(array_agg(written.delivery_id), '{}') INTO fresh FROM written;

    INSERT INTO webhook_inbox (org_id, dedup_key, delivery_id)
    SELECT w.org_id, w.dedup_key, w.id
    FROM unnest(p_ids, p_org_ids, p_dedup_keys) AS w (id, org_id, dedup_key)
    WHERE w.dedup_key IS NOT NULL AND w.id = ANY (fresh)
    ORDER BY w.org_id, w.dedup_key, w.id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS claimed = ROW_COUNT;
    -- If every claim is new, no webhook is a duplicate.
    IF claimed < cardinality(array_remove(p_dedup_keys, NULL)) THEN
        SELECT coalesce(array_agg(c.delivery_id), '{}'), coalesce(array_agg(c.owner_id), '{}')
        INTO duplicates, owners
        FROM claim_webhook_events(p_ids, p_org_ids, p_dedup_keys, fresh) AS c;
    END IF;

    IF cardinality(duplicates) > 0 THEN
        UPDATE webhook_delivery_attempts AS a
        SET outcome = 'duplicate', error_class = NULL, error_message = NULL
        FROM unnest(p_ids, p_attempts) AS w (id, attempt)
        WHERE a.delivery_id = w.id AND a.attempt = w.attempt AND w.id = ANY (duplicates)
          AND a.delivery_id BETWEEN first_id AND last_id;
    END IF;

    -- A finished webhook or a dead letter keeps its status. A row without its payload gets it.
    -- `altered` stays true: the payload of a retry comes from the log, so its processor finds nothing
    -- to alter. A single webhook needs no order of locks, so its row is looked for only if the update
    -- has not found it.
    FOR round IN 1..2 LOOP
        IF round = 2 OR NOT is_alone THEN
            -- Before locking any row: a new row may wait for another batch that is inserting it.
            missing := ARRAY(SELECT unnest(fresh)
                             EXCEPT
                             SELECT id FROM webhook_delivery_log
                             WHERE id = ANY (fresh) AND id BETWEEN first_id AND last_id);
            IF cardinality(missing) > 0 THEN
                PERFORM ensure_webhook_rows(
                    p_ids, p_org_ids, p_endpoint_ids, p_event_types, p_event_data, p_altered,
                    p_max_attempts, p_call_ids, p_dedup_keys, p_gateway_instance_ids, p_retries_of,
                    missing);
            END IF;
            PERFORM FROM webhook_delivery_log AS log
            WHERE log.id = ANY (fresh) AND log.id BETWEEN first_id AND last_id
            ORDER BY log.id FOR UPDATE;
        END IF;
        UPDATE webhook_delivery_log AS log
        SET status = CASE
                WHEN log.id = ANY (duplicates) THEN 'duplicate'
                WHEN w.outcome = 'permanent' THEN 'failed'
                ELSE w.outcome END,
            event_data = CASE
                WHEN webhook_has_payload(log.event_data) THEN log.event_data
                ELSE w.event_data::jsonb END,
            altered = log.altered OR w.altered,
            attempts = greatest(log.attempts, w.attempt),
            max_attempts = w.max_attempts,
            retry_schedule = w.retry_schedule,
            last_attempt_at = w.ended_at,
            completed_at = CASE
                WHEN w.outcome = 'completed' AND log.id <> ALL (duplicates) THEN w.ended_at END,
            error_class = CASE WHEN log.id <> ALL (duplicates) THEN w.error_class END,
            error_message = CASE WHEN log.id <> ALL (duplicates) THEN w.error_message END,
            duplicate_of = owners[array_position(duplicates, log.id)]
        FROM unnest(p_ids, p_attempts, p_outcomes, p_ended_at, p_error_classes, p_error_messages,
                    p_max_attempts, p_event_data, p_altered, p_retry_schedules)
            AS w (id, attempt, outcome, ended_at, error_class, error_message, max_attempts,
                  event_data, altered, retry_schedule)
        WHERE log.id = w.id AND log.id = ANY (fresh)
          AND log.id BETWEEN first_id AND last_id
          AND log.status IN ('pending', 'processing', 'failed');
        EXIT WHEN FOUND OR NOT is_alone;
    END LOOP;

    IF p_waits IS NOT NULL THEN
        PERFORM add_webhook_waits(p_waits, p_wait_bodies, ARRAY(
            SELECT log.id FROM webhook_delivery_log AS log
            WHERE log.id = ANY (fresh) AND log.id BETWEEN first_id AND last_id
              AND log.status = 'failed'));
    END IF;

    IF p_forwards IS NOT NULL THEN
        PERFORM add_webhook_forwards(p_forwards, p_forward_bodies, ARRAY(
            SELECT unnest(fresh) EXCEPT SELECT unnest(duplicates)));
    END IF;

    IF 'completed' = ALL (p_outcomes) AND cardinality(duplicates) = 0 THEN
        completed := fresh;
    ELSE
        SELECT coalesce(array_agg(w.id) FILTER (WHERE w.outcome = 'completed'), '{}'),
               coalesce(array_agg(w.id) FILTER (
                   WHERE w.outcome = 'duplicate' AND w.id = ANY (p_ends)), '{}')
        INTO completed, copies
        FROM (SELECT id, CASE WHEN id = ANY (duplicates) THEN 'duplicate' ELSE outcome END AS outcome
              FROM unnest(p_ids, p_outcomes) AS given (id, outcome) WHERE id = ANY (fresh)) AS w;
        IF cardinality(copies) > 0 THEN
            copies := ARRAY(SELECT unnest(copies)
                            EXCEPT
                            SELECT unnest(compare_webhook_duplicates(copies)));
        END IF;
    END IF;
    IF p_call_updates IS NOT NULL THEN
        PERFORM merge_voice_calls(p_call_updates, completed, copies);
    END IF;

    IF p_ordered IS NOT NULL THEN
        is_given := end_webhook_turns(webhooks_without_turn(
            ARRAY(SELECT unnest(p_ordered) INTERSECT SELECT unnest(fresh)),
            ARRAY(SELECT w.id FROM unnest(p_ids, p_outcomes) AS w (id, outcome)
                  WHERE w.outcome = 'failed' AND w.id <> ALL (duplicates))));
    END IF;

    RETURN QUERY
    SELECT w.id, CASE WHEN w.id = ANY (duplicates) THEN 'duplicate' ELSE w.outcome END, true,
           owners[array_position(duplicates, w.id)], is_given
    FROM unnest(p_ids, p_outcomes) AS w (id, outcome)
    WHERE w.id = ANY (fresh);
    IF cardinality(fresh) < cardinality(p_ids) THEN
        RETURN QUERY
        SELECT a.delivery_id, a.outcome, false, NULL::uuid, is_given
        FROM unnest(p_ids, p_attempts) AS w (id, attempt)
        JOIN webhook_delivery_attempts AS a
            ON a.delivery_id = w.id AND a.attempt = w.attempt
            AND a.delivery_id BETWEEN first_id AND last_id
        WHERE a.delivery_id <> ALL (fresh);
    END IF;
END
$$;

CREATE FUNCTION public.finish_webhook_transaction(p_transaction_id text, p_role_name text, p_search_path text, p_ids uuid[], p_attempts integer[], p_outcomes text[], p_started_at timestamp with time zone[], p_ended_at timestamp with time zone[], p_error_classes text[], p_error_messages text[], p_trace_ids text[], p_span_ids text[], p_ends uuid[], p_call_updates json, p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_wait_bodies bytea[], p_answers text[], p_forwards json, p_forward_bodies bytea[], p_ordered uuid[], p_retry_schedules text[]) RETURNS TABLE(delivery_id uuid, final_outcome text, is_fresh boolean, duplicate_of uuid, has_given_turn boolean)
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF pg_catalog.pg_current_xact_id_if_assigned()::text IS DISTINCT FROM p_transaction_id THEN
        RAISE EXCEPTION 'The handler ended the transaction that it was given.'
            USING ERRCODE = 'RB001';
    ELSIF current_user IS DISTINCT FROM p_role_name THEN
        RAISE EXCEPTION 'The handler changed the role of its connection to %.', current_user
            USING ERRCODE = 'RB001';
    ELSIF pg_catalog.current_setting('search_path') IS DISTINCT FROM p_search_path THEN
        RAISE EXCEPTION 'The handler changed search_path to %.',
            pg_catalog.current_setting('search_path')
            USING ERRCODE = 'RB001';
    ELSIF pg_catalog.pg_my_temp_schema() <> 0 AND EXISTS (
        SELECT FROM pg_catalog.pg_class
        WHERE relnamespace = pg_catalog.pg_my_temp_schema()
          AND (relname LIKE 'webhook%' OR relname = 'voice_calls')
    ) THEN
        RAISE EXCEPTION 'The handler created a temporary table that hides a table of Ringback.'
            USING ERRCODE = 'RB001';
    END IF;
    RETURN QUERY
    SELECT f.delivery_id, f.final_outcome, f.is_fresh, f.duplicate_of, f.has_given_turn
    FROM finish_webhook_attempts(
        p_ids, p_attempts, p_outcomes, p_started_at, p_ended_at, p_error_classes,
        p_error_messages, p_trace_ids, p_span_ids, p_ends, p_call_updates, p_org_ids,
        p_endpoint_ids, p_event_types, p_event_data, p_altered, p_max_attempts, p_call_ids,
        p_dedup_keys, p_gateway_instance_ids, p_retries_of, p_waits, p_wait_bodies, p_answers,
        p_forwards, p_forward_bodies, p_ordered, p_retry_schedules) AS f;
END
$$;

CREATE FUNCTION public.fold_webhook_dead_letter_notices(p_limit integer, OUT moved bigint, OUT dropped bigint) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    room bigint;
BEGIN
    moved := 0;
    dropped := 0;
    IF NOT pg_try_advisory_xact_lock(hashtext('webhook_alerts')) THEN
        RETURN;
    END IF;
    room := 1000 - (SELECT count(*) FROM webhook_alerts);
    WITH folded AS (
        DELETE FROM webhook_dead_letter_notices
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM webhook_dead_letter_notices LIMIT p_limit))
        RETURNING *
    ), summed AS (
        SELECT org_id, event_type, error_class, sum(dead_letters) AS dead_letters,
               count(*) AS notices,
               (array_agg(example ORDER BY created_at DESC, example DESC))[1] AS example,
               min(created_at) AS first_at, max(created_at) AS last_at,
               EXISTS (SELECT FROM webhook_alerts AS alert
                       WHERE alert.org_id = folded.org_id AND alert.event_type = folded.event_type
                         AND alert.error_class = folded.error_class) AS is_open
        FROM folded
        GROUP BY org_id, event_type, error_class
    ), placed AS (
        SELECT *, is_open OR row_number() OVER (PARTITION BY is_open ORDER BY first_at) <= room
                  AS has_room
        FROM summed
    ), written AS (
        INSERT INTO webhook_alerts AS alert (
            org_id, event_type, error_class, unsent, example, opened_at, unsent_since, last_at)
        SELECT org_id, event_type, error_class, dead_letters, example, first_at, first_at, last_at
        FROM placed
        WHERE has_room
        ON CONFLICT (org_id, event_type, error_class) DO UPDATE
        SET unsent = alert.unsent + excluded.unsent,
            example = excluded.example,
            unsent_since = coalesce(alert.unsent_since, excluded.unsent_since),
            last_at = greatest(alert.last_at, excluded.last_at)
    )
    SELECT coalesce(sum(notices), 0), coalesce(sum(dead_letters) FILTER (WHERE NOT has_room), 0)
    INTO moved, dropped
    FROM placed;
END
$$;

CREATE FUNCTION public.fold_webhook_gateway_rows() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.fold_webhook_stats(p_limit integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.forget_webhook_gateway(p_id uuid) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    DELETE FROM webhook_gateways WHERE id = p_id
$$;

CREATE FUNCTION public.give_webhook_turn(p_org_id uuid, p_order_key text, p_waits_for_earlier boolean) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
DECLARE
    next    record;
    earlier uuid;
BEGIN
    LOOP
        SELECT wait.delivery_id, wait.attempt INTO next FROM webhook_waits AS wait
        WHERE wait.org_id = p_org_id AND wait.order_key = p_order_key AND wait.reason = 'order'
        ORDER BY wait.delivery_id LIMIT 1 FOR UPDATE;
        -- It may have been deleted while this waited for its lock: then look for another.
        EXIT WHEN FOUND OR NOT EXISTS (
            SELECT FROM webhook_waits AS wait
            WHERE wait.org_id = p_org_id AND wait.order_key = p_order_key
              AND wait.reason = 'order');
    END LOOP;
    IF next.delivery_id IS NULL THEN
        DELETE FROM webhook_turns WHERE org_id = p_org_id AND order_key = p_order_key;
        RETURN false;
    END IF;
    IF p_waits_for_earlier THEN
        earlier := webhook_on_its_way(
            p_org_id, p_order_key,
            (SELECT turn.ordered_types FROM webhook_turns AS turn
             WHERE turn.org_id = p_org_id AND turn.order_key = p_order_key),
            next.delivery_id);
    END IF;
    UPDATE webhook_waits SET due_at = clock_timestamp()
    WHERE delivery_id = next.delivery_id AND earlier IS NULL;
    UPDATE webhook_turns
    SET delivery_id = coalesce(earlier, next.delivery_id),
        is_late = earlier IS NULL AND next.attempt > 1,
        since = clock_timestamp(), checked_at = clock_timestamp(), idle = '0'
    WHERE org_id = p_org_id AND order_key = p_order_key;
    RETURN earlier IS NULL;
END
$$;

CREATE FUNCTION public.hold_webhooks(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_bodies bytea[]) RETURNS TABLE(delivery_id uuid, recorded_outcome text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    first_id uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u LIMIT 1);
    last_id  uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u DESC LIMIT 1);
    held     uuid[];
BEGIN
    PERFORM ensure_webhook_rows(
        p_ids, p_org_ids, p_endpoint_ids, p_event_types, p_event_data, p_altered, p_max_attempts,
        p_call_ids, p_dedup_keys, p_gateway_instance_ids, p_retries_of,
        ARRAY(SELECT u FROM unnest(p_ids) AS u
              EXCEPT
              SELECT id FROM webhook_delivery_log
              WHERE id = ANY (p_ids) AND id BETWEEN first_id AND last_id));

    -- Before reading the attempts: another processor may be recording one.
    PERFORM FROM webhook_delivery_log
    WHERE id = ANY (p_ids) AND id BETWEEN first_id AND last_id ORDER BY id FOR UPDATE;
    held := ARRAY(
        SELECT log.id
        FROM unnest(p_ids, p_attempts) AS w (id, attempt)
        JOIN webhook_delivery_log AS log ON log.id = w.id AND log.id BETWEEN first_id AND last_id
        WHERE log.status IN ('pending', 'processing', 'failed')
          AND NOT EXISTS (
              SELECT FROM webhook_delivery_attempts AS done
              WHERE done.delivery_id = w.id AND done.attempt = w.attempt
                AND done.delivery_id BETWEEN first_id AND last_id));

    UPDATE webhook_delivery_log AS log
    SET status = CASE WHEN log.attempts = 0 THEN 'pending' ELSE 'failed' END,
        event_data = CASE
            WHEN webhook_has_payload(log.event_data) THEN log.event_data
            ELSE w.event_data::jsonb END,
        altered = log.altered OR w.altered
    FROM unnest(p_ids, p_event_data, p_altered) AS w (id, event_data, altered)
    WHERE log.id = w.id AND log.id = ANY (held) AND log.id BETWEEN first_id AND last_id
      AND (log.status = 'processing' OR NOT webhook_has_payload(log.event_data));
    PERFORM add_webhook_waits(p_waits, p_bodies, held);

    RETURN QUERY
    SELECT w.id,
           coalesce(
               done.outcome,
               CASE WHEN log.status IN ('completed', 'duplicate') THEN log.status END)
    FROM unnest(p_ids, p_attempts) AS w (id, attempt)
    LEFT JOIN webhook_delivery_attempts AS done
        ON done.delivery_id = w.id AND done.attempt = w.attempt
        AND done.delivery_id BETWEEN first_id AND last_id
    LEFT JOIN webhook_delivery_log AS log
        ON log.id = w.id AND log.id BETWEEN first_id AND last_id;
END
$$;

CREATE FUNCTION public.lease_webhook_waits(p_destinations text[], p_limits integer[], p_first_limit integer, p_count integer, p_lease interval, p_bytes bigint) RETURNS TABLE(delivery_id uuid, attempt integer, event_type text, reason text, destination text, cancellation text, due_at timestamp with time zone, leased_until timestamp with time zone, headers text, body bytea)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH RECURSIVE destinations AS (
        -- One look into the index for each destination, however many rows it has.
        (SELECT coalesce(destination, '') AS name FROM webhook_waits
         ORDER BY coalesce(destination, '') LIMIT 1)
        UNION ALL
        SELECT (SELECT coalesce(wait.destination, '') FROM webhook_waits AS wait
                WHERE coalesce(wait.destination, '') > before.name
                ORDER BY coalesce(wait.destination, '') LIMIT 1)
        FROM destinations AS before WHERE before.name IS NOT NULL
    ), due AS MATERIALIZED (
        SELECT destinations.name, first.due_at,
               least(limited.to_count, greatest(p_count / count(*) OVER (), 1)) AS allowed
        FROM destinations
        CROSS JOIN LATERAL (
            SELECT CASE WHEN destinations.name = '' THEN p_count
                        ELSE coalesce(p_limits[array_position(p_destinations, destinations.name)],
                                      p_first_limit) END AS to_count) AS limited
        CROSS JOIN LATERAL (
            -- The comparison of pairs excludes the index of all due times, which has those of others.
            SELECT wait.due_at FROM webhook_waits AS wait
            WHERE (coalesce(wait.destination, ''), wait.due_at) >= (destinations.name, '-infinity')
              AND (coalesce(wait.destination, ''), wait.due_at) <= (destinations.name, now())
            ORDER BY coalesce(wait.destination, ''), wait.due_at LIMIT 1) AS first
        WHERE destinations.name IS NOT NULL AND limited.to_count > 0
    ), picked AS MATERIALIZED (
        SELECT found.*
        FROM (SELECT * FROM due ORDER BY due_at) AS due
        CROSS JOIN LATERAL (
            SELECT wait.delivery_id, wait.due_at, octet_length(wait.body) AS size
            FROM webhook_waits AS wait
            WHERE (coalesce(wait.destination, ''), wait.due_at) >= (due.name, '-infinity')
              AND (coalesce(wait.destination, ''), wait.due_at) <= (due.name, now())
              AND (wait.leased_until IS NULL OR wait.leased_until < now())
              AND (wait.publish_after IS NULL OR wait.publish_after < now())
            ORDER BY coalesce(wait.destination, ''), wait.due_at
            LIMIT due.allowed
            FOR UPDATE SKIP LOCKED) AS found
        LIMIT p_count
    ), fitting AS MATERIALIZED (
        SELECT sized.delivery_id,
               coalesce((SELECT log.status IN ('completed', 'duplicate', 'dead_letter')
                         FROM webhook_delivery_log AS log WHERE log.id = sized.delivery_id),
                        false) AS has_ended
        FROM (SELECT picked.delivery_id,
                     sum(picked.size) OVER (ORDER BY picked.due_at, picked.delivery_id)
                         - picked.size AS bytes_before
              FROM picked) AS sized
        WHERE sized.bytes_before < p_bytes
    ), deleted AS (
        DELETE FROM webhook_waits AS wait USING fitting
        WHERE wait.delivery_id = fitting.delivery_id AND fitting.has_ended
    )
    UPDATE webhook_waits AS wait SET leased_until = now() + p_lease
    FROM fitting
    WHERE wait.delivery_id = fitting.delivery_id AND NOT fitting.has_ended
    RETURNING wait.delivery_id, wait.attempt, wait.event_type, wait.reason, wait.destination,
              wait.cancellation, wait.due_at, wait.leased_until, wait.headers::text, wait.body;
END
$$;

CREATE FUNCTION public.lock_webhook_alerts(p_holder uuid) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('webhook_alerts'));
    RETURN EXISTS (SELECT FROM webhook_alert_lease
                   WHERE holder = p_holder AND expires_at > clock_timestamp());
END
$$;

CREATE FUNCTION public.lock_webhook_decision(id uuid) RETURNS void
    LANGUAGE sql
    AS $$
    SELECT pg_advisory_xact_lock(hashtext('webhook_decision'), hashtext(id::text))
$$;

CREATE FUNCTION public.mark_webhook_alerts_sent(p_holder uuid, p_org_ids uuid[], p_event_types text[], p_error_classes text[], p_counts bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF NOT lock_webhook_alerts(p_holder) THEN
        RETURN;
    END IF;
    UPDATE webhook_alerts AS alert
    SET unsent = greatest(alert.unsent - w.dead_letters, 0),
        sent = alert.sent + w.dead_letters,
        -- The same time for all groups of one message.
        sent_at = now(),
        unsent_since = CASE WHEN alert.unsent > w.dead_letters THEN alert.last_at END
    FROM unnest(p_org_ids, p_event_types, p_error_classes, p_counts)
        AS w (org_id, event_type, error_class, dead_letters)
    WHERE alert.org_id = w.org_id AND alert.event_type = w.event_type
      AND alert.error_class = w.error_class;
END
$$;

CREATE FUNCTION public.matching_completed_webhooks(p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text, p_created_from timestamp with time zone, p_created_before timestamp with time zone, p_include_replays boolean, p_first_org uuid, p_last_org uuid) RETURNS TABLE(id uuid, event_type text, error_class text, altered boolean)
    LANGUAGE sql STABLE
    AS $$
    SELECT log.id, log.event_type, log.error_class, log.altered
    FROM webhook_delivery_log AS log
    WHERE log.status = 'completed' AND log.resolution IS NULL AND log.forward IS NULL
      AND log.id > p_after AND log.id <= p_until
      AND log.org_id BETWEEN p_first_org AND p_last_org
      AND log.event_type = p_event_type
      AND (p_error_class IS NULL OR log.error_class = p_error_class)
      AND (p_call_id IS NULL OR log.call_id = p_call_id)
      AND (p_created_from IS NULL OR log.created_at >= p_created_from)
      AND (p_created_before IS NULL OR log.created_at < p_created_before)
      AND (p_include_replays OR log.retry_of IS NULL OR NOT EXISTS (
          SELECT FROM webhook_delivery_log AS replayed
          WHERE replayed.id = log.retry_of AND replayed.status = 'completed'))
$$;

CREATE FUNCTION public.matching_dead_letters(p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text, p_created_from timestamp with time zone, p_created_before timestamp with time zone) RETURNS TABLE(id uuid, event_type text, error_class text, altered boolean)
    LANGUAGE sql STABLE
    AS $$
    SELECT log.id, log.event_type, log.error_class, log.altered FROM webhook_delivery_log AS log
    WHERE log.is_unresolved
      AND log.id > p_after AND log.id <= p_until
      AND (p_event_type IS NULL OR log.event_type = p_event_type)
      AND (p_error_class IS NULL OR log.error_class = p_error_class)
      AND (p_call_id IS NULL OR log.call_id = p_call_id)
      AND (p_created_from IS NULL OR log.created_at >= p_created_from)
      AND (p_created_before IS NULL OR log.created_at < p_created_before)
$$;

CREATE FUNCTION public.merge_voice_calls(p_updates json, counted uuid[], uncounted uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    current_round integer := 0;
    rounds        integer;
BEGIN
    LOOP
        current_round := current_round + 1;
        WITH updates AS MATERIALIZED (
            SELECT u.*,
                   row_number() OVER (PARTITION BY u.org_id, u.call_id ORDER BY u.delivery_id) AS round
            FROM json_to_recordset(p_updates) AS u (
                delivery_id uuid, org_id uuid, call_id text, call_type text, status text,
                started_at timestamptz, ended_at timestamptz, ended_reason text,
                duration_seconds double precision, cost double precision, customer_number text,
                assistant_id text, phone_number_id text, summary text, transcript text,
                ranks bigint[], happened_at timestamptz)
            WHERE u.delivery_id = ANY (counted) OR u.delivery_id = ANY (uncounted)
        ), merged AS (
            INSERT INTO voice_calls AS v (
                org_id, call_id, call_type, status, started_at, ended_at, ended_reason,
                duration_seconds, cost, customer_number, assistant_id, phone_number_id, summary,
                transcript, ranks, events, first_event_at, last_event_at)
            SELECT u.org_id, u.call_id, u.call_type, u.status, u.started_at, u.ended_at,
                   u.ended_reason, u.duration_seconds, u.cost, u.customer_number, u.assistant_id,
                   u.phone_number_id, u.summary, u.transcript, u.ranks,
                   (u.delivery_id = ANY (counted))::integer, u.happened_at, u.happened_at
            FROM updates AS u
            WHERE u.round = current_round
            ORDER BY u.org_id, u.call_id
            ON CONFLICT (org_id, call_id) DO UPDATE SET
                call_type = CASE
                        WHEN (excluded.ranks[1], excluded.call_type) > (v.ranks[1], v.call_type COLLATE "C")
                        THEN excluded.call_type ELSE v.call_type END,
                status = CASE
                        WHEN (excluded.ranks[2], excluded.status) > (v.ranks[2], v.status COLLATE "C")
                        THEN excluded.status ELSE v.status END,
                started_at = CASE
                        WHEN (excluded.ranks[3], excluded.started_at) > (v.ranks[3], v.started_at)
                        THEN excluded.started_at ELSE v.started_at END,
                ended_at = CASE
                        WHEN (excluded.ranks[4], excluded.ended_at) > (v.ranks[4], v.ended_at)
                        THEN excluded.ended_at ELSE v.ended_at END,
                ended_reason = CASE
                        WHEN (excluded.ranks[5], excluded.ended_reason) > (v.ranks[5], v.ended_reason COLLATE "C")
                        THEN excluded.ended_reason ELSE v.ended_reason END,
                duration_seconds = CASE
                        WHEN (excluded.ranks[6], excluded.duration_seconds) > (v.ranks[6], v.duration_seconds)
                        THEN excluded.duration_seconds ELSE v.duration_seconds END,
                cost = CASE
                        WHEN (excluded.ranks[7], excluded.cost) > (v.ranks[7], v.cost)
                        THEN excluded.cost ELSE v.cost END,
                customer_number = CASE
                        WHEN (excluded.ranks[8], excluded.customer_number)
                             > (v.ranks[8], v.customer_number COLLATE "C")
                        THEN excluded.customer_number ELSE v.customer_number END,
                assistant_id = CASE
                        WHEN (excluded.ranks[9], excluded.assistant_id) > (v.ranks[9], v.assistant_id COLLATE "C")
                        THEN excluded.assistant_id ELSE v.assistant_id END,
                phone_number_id = CASE
                        WHEN (excluded.ranks[10], excluded.phone_number_id)
                             > (v.ranks[10], v.phone_number_id COLLATE "C")
                        THEN excluded.phone_number_id ELSE v.phone_number_id END,
                summary = CASE
                        WHEN (excluded.ranks[11], excluded.summary) > (v.ranks[11], v.summary COLLATE "C")
                        THEN excluded.summary ELSE v.summary END,
                transcript = CASE
                        WHEN (excluded.ranks[12], excluded.transcript) > (v.ranks[12], v.transcript COLLATE "C")
                        THEN excluded.transcript ELSE v.transcript END,
                ranks = ARRAY(
                    SELECT greatest(rank, merged)
                    FROM unnest(v.ranks, excluded.ranks) AS pair (rank, merged)),
                events = v.events + excluded.events,
                first_event_at = least(v.first_event_at, excluded.first_event_at),
                last_event_at = greatest(v.last_event_at, excluded.last_event_at)
        )
        SELECT max(updates.round) INTO rounds FROM updates;
        EXIT WHEN coalesce(rounds <= current_round, true);
    END LOOP;
END
$$;

CREATE FUNCTION public.park_webhooks(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_bodies bytea[], p_order_keys text[], p_ordered_types text[]) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF (SELECT count(*) FROM take_webhook_turns(
            p_ids, p_attempts, p_org_ids, p_order_keys, p_ordered_types)) < cardinality(p_ids)
    THEN
        RETURN false;
    END IF;
    RETURN (
        SELECT coalesce(bool_and(held.recorded_outcome IS NULL), true)
        FROM hold_webhooks(
            p_ids, p_attempts, p_org_ids, p_endpoint_ids, p_event_types, p_event_data, p_altered,
            p_max_attempts, p_call_ids, p_dedup_keys, p_gateway_instance_ids, p_retries_of, p_waits,
            p_bodies) AS held);
END
$$;

CREATE FUNCTION public.prune_webhook_alerts(p_limit integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    pruned bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('webhook_alerts'));
    DELETE FROM webhook_alerts WHERE last_at < now() - interval '1 day';
    DELETE FROM webhook_forward_notices WHERE stopped_at < now() - interval '10 minutes';
    DELETE FROM webhook_dead_letter_notices WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM webhook_dead_letter_notices
        WHERE created_at < now() - interval '10 minutes'
        LIMIT p_limit));
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
$$;

CREATE FUNCTION public.prune_webhook_console_codes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    DELETE FROM webhook_console_codes WHERE code_hash IN (
        SELECT code_hash FROM webhook_console_codes WHERE expires_at <= clock_timestamp()
        FOR UPDATE SKIP LOCKED);
    RETURN NULL;
END
$$;

CREATE FUNCTION public.prune_webhook_inbox(batch_size integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.prune_webhook_ledger(retention_days integer) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.prune_webhook_questions(retention_days integer, batch_size integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    WITH deleted AS (
        DELETE FROM webhook_questions
        WHERE id IN (SELECT id FROM webhook_questions
                     WHERE id < webhook_id_at(now() - make_interval(days => retention_days))
                     ORDER BY id LIMIT batch_size)
        RETURNING 1
    )
    SELECT count(*) FROM deleted
$$;

CREATE FUNCTION public.prune_webhook_retries(p_limit integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    pruned bigint;
BEGIN
    DELETE FROM webhook_retries WHERE original = ANY (ARRAY(
        SELECT original FROM webhook_retries AS retry
        -- Newer ones are still in the log, which keeps a webhook for at least a day.
        WHERE created_at < now() - interval '1 day'
          AND NOT EXISTS (SELECT FROM webhook_delivery_log WHERE id = retry.new_id)
          AND NOT EXISTS (SELECT FROM webhook_delivery_log WHERE id = retry.original)
        LIMIT p_limit));
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
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
    IF NOT try_lock_webhook_stats() THEN
        RETURN NULL;
    END IF;
    DELETE FROM webhook_stats
    WHERE (grain = 'minute' AND bucket < minutes_from) OR (grain = 'hour' AND bucket < hours_from);
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
$$;

CREATE FUNCTION public.prune_webhook_waits(batch_size integer) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    pruned bigint;
BEGIN
    DELETE FROM webhook_waits WHERE delivery_id = ANY (ARRAY(
        SELECT wait.delivery_id FROM webhook_waits AS wait
        WHERE wait.due_at = 'infinity'
          AND (SELECT log.status IN ('completed', 'duplicate', 'dead_letter')
               FROM webhook_delivery_log AS log WHERE log.id = wait.delivery_id)
        ORDER BY wait.delivery_id LIMIT batch_size FOR UPDATE SKIP LOCKED));
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

CREATE FUNCTION public.record_webhook_dead_letters(p_ids uuid[], p_attempts integer[], p_error_classes text[], p_error_messages text[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_retry_schedules text[]) RETURNS TABLE(delivery_id uuid, attempts integer, error_class text, error_message text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    first_id uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u LIMIT 1);
    last_id  uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u DESC LIMIT 1);
BEGIN
    PERFORM ensure_webhook_rows(
        p_ids, p_org_ids, p_endpoint_ids, p_event_types, p_event_data, p_altered, p_max_attempts,
        p_call_ids, p_dedup_keys, p_gateway_instance_ids, p_retries_of,
        ARRAY(SELECT u FROM unnest(p_ids) AS u
              EXCEPT
              SELECT id FROM webhook_delivery_log
              WHERE id = ANY (p_ids) AND id BETWEEN first_id AND last_id));

    PERFORM FROM webhook_delivery_log
    WHERE id = ANY (p_ids) AND id BETWEEN first_id AND last_id ORDER BY id FOR UPDATE;

    RETURN QUERY
    WITH dead_lettered AS (
        UPDATE webhook_delivery_log AS log
        SET status = 'dead_letter',
            event_data = CASE
                WHEN webhook_has_payload(log.event_data) THEN log.event_data
                ELSE w.event_data::jsonb END,
            altered = log.altered OR w.altered,
            attempts = greatest(log.attempts, w.attempt),
            error_class = coalesce(w.error_class, log.error_class, 'unknown'),
            error_message = coalesce(
                w.error_message, log.error_message, 'No attempt recorded an error.'),
            retry_schedule = w.retry_schedule
        FROM unnest(p_ids, p_attempts, p_error_classes, p_error_messages, p_event_data, p_altered,
                    p_retry_schedules)
            AS w (id, attempt, error_class, error_message, event_data, altered, retry_schedule)
        WHERE log.id = w.id AND log.id BETWEEN first_id AND last_id
          AND log.status IN ('pending', 'processing', 'failed')
        RETURNING log.id, log.org_id, log.event_type, log.attempts, log.error_class,
                  log.error_message
    ), locked AS MATERIALIZED (
        -- In the order in which all waits are locked.
        SELECT wait.delivery_id FROM webhook_waits AS wait
        WHERE wait.delivery_id IN (SELECT dead.id FROM dead_lettered AS dead)
        ORDER BY wait.delivery_id FOR UPDATE
    ), released AS (
        DELETE FROM webhook_waits AS wait USING locked WHERE wait.delivery_id = locked.delivery_id
    ), notices AS (
        INSERT INTO webhook_dead_letter_notices (
            org_id, event_type, error_class, dead_letters, example)
        -- A handler may raise an error class that is too long for the key of a group.
        SELECT dead.org_id, dead.event_type, left(dead.error_class, 200), count(*),
               (array_agg(dead.id ORDER BY dead.id DESC))[1]
        FROM dead_lettered AS dead
        GROUP BY 1, 2, 3
    )
    SELECT dead.id, dead.attempts, dead.error_class, dead.error_message
    FROM dead_lettered AS dead;

    PERFORM end_webhook_turns(p_ids);
END
$$;

CREATE FUNCTION public.record_webhook_forward_outcomes(p_succeeded text[], p_failed json, p_stopped_after interval) RETURNS TABLE(destination text, failing_since timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    failed_names text[] := ARRAY(SELECT value ->> 'destination' FROM json_array_elements(p_failed));
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('webhook_destinations'));
    DELETE FROM webhook_failing_forwards WHERE destination = ANY (p_succeeded);
    INSERT INTO webhook_failing_forwards AS failing (destination)
    SELECT DISTINCT name FROM unnest(failed_names) AS name WHERE name <> ALL (p_succeeded)
    ON CONFLICT (destination) DO UPDATE SET reports = failing.reports + 1;

    RETURN QUERY
    WITH due AS MATERIALIZED (
        SELECT failing.destination, failing.failing_since
        FROM webhook_failing_forwards AS failing
        LEFT JOIN webhook_destinations AS known ON known.name = failing.destination
        WHERE failing.destination = ANY (failed_names) AND failing.reports >= 10
          AND known.forced_state IS NULL
          AND greatest(failing.failing_since, known.changed_at)
              < clock_timestamp() - p_stopped_after
    ), forced AS (
        INSERT INTO webhook_destinations (name, forced_state, changed_at, changed_by, reason)
        SELECT due.destination, 'open', clock_timestamp(), 'ringback',
               'It has only failed since ' || to_char(due.failing_since AT TIME ZONE 'UTC',
                                                      'YYYY-MM-DD HH24:MI "UTC"') || '.'
        FROM due
        ON CONFLICT (name) DO UPDATE
        SET forced_state = excluded.forced_state, changed_at = excluded.changed_at,
            changed_by = excluded.changed_by, reason = excluded.reason
        RETURNING name, reason
    ), audited AS (
        INSERT INTO webhook_audit (actor, role, action, reason, details)
        SELECT 'ringback', 'processor', 'set_destination', forced.reason,
               jsonb_build_object('destination', forced.name, 'forced_state', 'open')
        FROM forced
    ), noticed AS (
        INSERT INTO webhook_forward_notices AS notice (
            destination, org_id, endpoint_id, forward, failing_since, last_error)
        SELECT due.destination, failed.org_id, failed.endpoint_id, failed.forward,
               due.failing_since, failed.error
        FROM due
        JOIN json_to_recordset(p_failed) AS failed (
            destination text, org_id uuid, endpoint_id text, forward text, error text)
            USING (destination)
        ON CONFLICT (destination) DO UPDATE
        SET failing_since = excluded.failing_since, last_error = excluded.last_error,
            stopped_at = excluded.stopped_at
    )
    SELECT due.destination, due.failing_since FROM due;
    IF FOUND THEN
        PERFORM pg_notify('webhook_destinations', '');
    END IF;
END
$$;

CREATE FUNCTION public.record_webhook_heartbeat(p_id uuid, p_in_flight integer, p_is_paused boolean, p_started_at timestamp with time zone, p_destinations jsonb) RETURNS void
    LANGUAGE sql
    AS $$
    INSERT INTO webhook_processors AS p
        (id, in_flight, is_paused, started_at, seen_at, destinations)
    VALUES
        (p_id, p_in_flight, p_is_paused, p_started_at, clock_timestamp(), p_destinations)
    ON CONFLICT (id) DO UPDATE
    SET in_flight = excluded.in_flight, is_paused = excluded.is_paused, seen_at = excluded.seen_at,
        destinations = excluded.destinations;

    DELETE FROM webhook_processors WHERE id IN (
        SELECT id FROM webhook_processors WHERE seen_at < clock_timestamp() - interval '1 day'
        FOR UPDATE SKIP LOCKED);
$$;

CREATE FUNCTION public.release_webhook_alert_lease(p_holder uuid, p_failures integer, p_pause interval) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    UPDATE webhook_alert_lease
    SET expires_at = '-infinity', failures = p_failures,
        not_before = clock_timestamp() + p_pause
    WHERE holder = p_holder
$$;

CREATE FUNCTION public.replay_webhook(p_original uuid, p_new_id uuid, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb) RETURNS TABLE(verdict text, new_id uuid, altered boolean, published_at timestamp with time zone)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    original webhook_delivery_log%ROWTYPE;
    replay   webhook_retries%ROWTYPE;
    answer   text;
BEGIN
    PERFORM lock_webhook_decision(p_original);
    -- Read after the lock: another session may have decided before.
    SELECT * INTO original FROM webhook_delivery_log WHERE id = p_original;
    SELECT * INTO replay FROM webhook_retries AS retry WHERE retry.original = p_original;
    answer := CASE
        WHEN original.id IS NULL THEN 'not_found'
        WHEN original.status <> 'completed' THEN 'not_completed'
        WHEN original.resolution = 'retried' AND replay.request_id = p_request_id THEN 'repeated'
        WHEN original.resolution = 'retried' THEN 'already_retried'
        WHEN original.forward IS NOT NULL OR NOT webhook_is_retryable(
            original.org_id, original.gateway_instance_id, original.event_data)
            THEN 'not_retryable'
        ELSE 'retried'
    END;
    IF answer = 'retried' THEN
        PERFORM add_webhook_retry(
            p_original, p_new_id, false, p_max_attempts, p_actor, p_role, p_reason, p_request_id,
            'replay', p_details);
    END IF;
    RETURN QUERY SELECT
        answer, CASE WHEN answer = 'retried' THEN p_new_id ELSE original.retried_as END,
        original.altered, replay.published_at;
END
$$;

CREATE FUNCTION public.report_webhook_gateway(p_id uuid, p_host text, p_started_at timestamp with time zone, p_endpoint_count integer, p_file_problems text[], p_endpoints jsonb, p_refusals jsonb) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    is_new boolean;
BEGIN
    INSERT INTO webhook_gateways AS gateway (id, host, started_at, seen_at, endpoint_count, file_problems)
    VALUES (p_id, p_host, p_started_at, clock_timestamp(), p_endpoint_count, p_file_problems)
    ON CONFLICT (id) DO UPDATE
    SET seen_at = excluded.seen_at, endpoint_count = excluded.endpoint_count,
        file_problems = excluded.file_problems
    -- A row that was only updated has been locked by this transaction.
    RETURNING gateway.xmax = 0 INTO is_new;

    IF p_endpoints IS NOT NULL THEN
        DELETE FROM webhook_gateway_endpoints WHERE gateway_id = p_id;
        INSERT INTO webhook_gateway_endpoints
        SELECT p_id, one.endpoint_id, one.org_id, one.since, one.declared
        FROM jsonb_to_recordset(p_endpoints) AS one (
            endpoint_id text, org_id uuid, since timestamptz, declared jsonb);
    END IF;

    IF p_refusals IS NOT NULL THEN
        DELETE FROM webhook_gateway_refusals WHERE gateway_id = p_id;
        INSERT INTO webhook_gateway_refusals
        SELECT p_id, one.endpoint_id, one.org_id, one.reason, one.status, one.count, one.first_at,
               one.last_at
        FROM jsonb_to_recordset(p_refusals) AS one (
            endpoint_id text, org_id uuid, reason text, status integer, count bigint,
            first_at timestamptz, last_at timestamptz);
    END IF;

    DELETE FROM webhook_gateways WHERE id IN (
        SELECT id FROM webhook_gateways WHERE seen_at < clock_timestamp() - interval '1 hour'
        FOR UPDATE SKIP LOCKED);
    RETURN is_new;
END
$$;

CREATE FUNCTION public.require_past_webhook_day(old_day date) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF old_day BETWEEN (now() AT TIME ZONE 'UTC')::date AND (now() AT TIME ZONE 'UTC')::date + 7 THEN
        RAISE EXCEPTION 'the day % is not past', old_day;
    END IF;
END
$$;

CREATE FUNCTION public.resolve_webhook(p_id uuid, p_resolution text, p_retried_as uuid) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE webhook_delivery_log
    SET resolution = p_resolution, resolved_at = clock_timestamp(), retried_as = p_retried_as
    WHERE id = p_id AND status IN ('dead_letter', 'duplicate', 'completed')
      AND resolution IS NULL;
    IF NOT FOUND THEN
        -- Only a manual update can do this: the functions lock the decision.
        RAISE EXCEPTION 'the webhook % was changed meanwhile', p_id
            USING ERRCODE = 'serialization_failure';
    END IF;
END
$$;

CREATE FUNCTION public.retry_webhook(p_original uuid, p_new_id uuid, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb) RETURNS TABLE(verdict text, new_id uuid, altered boolean, published_at timestamp with time zone)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    original webhook_delivery_log%ROWTYPE;
    retry    webhook_retries%ROWTYPE;
    refusal  text;
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_delivery_log WHERE id = p_original) THEN
        RETURN QUERY SELECT 'not_found', NULL::uuid, NULL::boolean, NULL::timestamptz;
        RETURN;
    END IF;
    PERFORM lock_webhook_decision(p_original);
    -- Read after the lock: another session may have decided before.
    SELECT * INTO original FROM webhook_delivery_log WHERE id = p_original;
    refusal := webhook_resolution_conflict(original.status, original.resolution);
    IF refusal = 'already_retried' THEN
        SELECT * INTO retry FROM webhook_retries WHERE original = p_original;
        RETURN QUERY SELECT
            CASE WHEN retry.request_id = p_request_id THEN 'repeated' ELSE refusal END,
            original.retried_as, original.altered, retry.published_at;
        RETURN;
    ELSIF refusal IS NULL AND NOT webhook_is_retryable(
        original.org_id, original.gateway_instance_id, original.event_data)
    THEN
        refusal := 'not_retryable';
    END IF;
    IF refusal IS NOT NULL THEN
        RETURN QUERY SELECT refusal, NULL::uuid, NULL::boolean, NULL::timestamptz;
        RETURN;
    END IF;
    PERFORM add_webhook_retry(
        p_original, p_new_id, true, p_max_attempts, p_actor, p_role, p_reason, p_request_id,
        'retry', p_details);
    RETURN QUERY SELECT 'retried', p_new_id, original.altered, NULL::timestamptz;
END
$$;

CREATE FUNCTION public.run_duplicate_webhook(p_original uuid, p_new_id uuid, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb) RETURNS TABLE(verdict text, new_id uuid, altered boolean, published_at timestamp with time zone, duplicate_of uuid)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    original webhook_delivery_log%ROWTYPE;
    run      webhook_retries%ROWTYPE;
    answer   text;
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_delivery_log WHERE id = p_original) THEN
        RETURN QUERY SELECT 'not_found', NULL::uuid, NULL::boolean, NULL::timestamptz, NULL::uuid;
        RETURN;
    END IF;
    PERFORM lock_webhook_decision(p_original);
    -- Read after the lock: another session may have decided before.
    SELECT * INTO original FROM webhook_delivery_log WHERE id = p_original;
    SELECT * INTO run FROM webhook_retries AS retry WHERE retry.original = p_original;
    answer := CASE
        WHEN original.status <> 'duplicate' THEN 'not_duplicate'
        WHEN original.resolution = 'retried' AND run.request_id = p_request_id THEN 'repeated'
        WHEN original.resolution = 'retried' THEN 'already_retried'
        WHEN NOT webhook_is_retryable(
            original.org_id, original.gateway_instance_id, original.event_data)
            THEN 'not_retryable'
        ELSE 'retried'
    END;
    IF answer = 'retried' THEN
        PERFORM add_webhook_retry(
            p_original, p_new_id, false, p_max_attempts, p_actor, p_role, p_reason, p_request_id,
            'run_duplicate',
            p_details || jsonb_build_object('duplicate_of', original.duplicate_of));
    END IF;
    RETURN QUERY SELECT
        answer,
        CASE WHEN answer = 'retried' THEN p_new_id ELSE original.retried_as END,
        original.altered, run.published_at, original.duplicate_of;
END
$$;

CREATE FUNCTION public.set_webhook_destination(p_name text, p_forced_state text, p_actor text, p_role text, p_reason text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
DECLARE
    is_known boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('webhook_destinations'));
    SELECT EXISTS (SELECT FROM webhook_destinations WHERE name = p_name)
        OR EXISTS (SELECT FROM webhook_processors AS processor
                   WHERE processor.destinations @> jsonb_build_array(
                       jsonb_build_object('name', p_name)))
    INTO is_known;
    IF NOT is_known THEN
        RETURN false;
    END IF;

    INSERT INTO webhook_destinations AS destination
        (name, forced_state, changed_at, changed_by, reason)
    VALUES (p_name, p_forced_state, clock_timestamp(), p_actor, p_reason)
    ON CONFLICT (name) DO UPDATE
    SET forced_state = excluded.forced_state, changed_at = excluded.changed_at,
        changed_by = excluded.changed_by, reason = excluded.reason
    WHERE destination.forced_state IS DISTINCT FROM excluded.forced_state;
    IF FOUND THEN
        INSERT INTO webhook_audit (actor, role, action, reason, details)
        VALUES (p_actor, p_role, 'set_destination', p_reason,
                jsonb_build_object('destination', p_name, 'forced_state', p_forced_state));
        PERFORM pg_notify('webhook_destinations', '');
    END IF;
    RETURN true;
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

COMMENT ON TABLE public.webhook_processing IS 'One row: whether processing is paused. changed_at is null if it never was.';

CREATE FUNCTION public.set_webhook_processing(p_paused boolean, p_actor text, p_role text, p_reason text) RETURNS public.webhook_processing
    LANGUAGE plpgsql
    AS $$
DECLARE
    state webhook_processing;
BEGIN
    UPDATE webhook_processing
    SET paused = p_paused, changed_at = clock_timestamp(), changed_by = p_actor, reason = p_reason
    WHERE paused <> p_paused
    RETURNING * INTO state;
    IF NOT FOUND THEN
        SELECT * INTO STRICT state FROM webhook_processing;
        RETURN state;
    END IF;

    INSERT INTO webhook_audit (at, actor, role, action, reason)
    VALUES (state.changed_at, p_actor, p_role,
            CASE WHEN p_paused THEN 'pause' ELSE 'resume' END, p_reason);
    PERFORM pg_notify('webhook_processing', '');
    RETURN state;
END
$$;

CREATE FUNCTION public.take_webhook_turns(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_order_keys text[], p_ordered_types text[]) RETURNS SETOF uuid
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    first_id uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u LIMIT 1);
    last_id  uuid := (SELECT u FROM unnest(p_ids) AS u ORDER BY u DESC LIMIT 1);
    recorded uuid[];
    behind   uuid[] := '{}';
    webhook  record;
    is_new   boolean;
    earlier  uuid;
BEGIN
    recorded := ARRAY(
        SELECT done.delivery_id
        FROM unnest(p_ids, p_attempts) AS w (id, attempt)
        JOIN webhook_delivery_attempts AS done
            ON done.delivery_id = w.id AND done.attempt = w.attempt
            AND done.delivery_id BETWEEN first_id AND last_id
        UNION
        SELECT log.id FROM webhook_delivery_log AS log
        WHERE log.id = ANY (p_ids) AND log.id BETWEEN first_id AND last_id
          AND log.status IN ('completed', 'duplicate'));

    FOR webhook IN
        SELECT w.* FROM unnest(p_ids, p_attempts, p_org_ids, p_order_keys)
            AS w (id, attempt, org_id, order_key)
        WHERE w.id <> ALL (recorded)
        ORDER BY w.org_id, w.order_key, w.id
    LOOP
        -- The row is locked in any case.
        INSERT INTO webhook_turns AS turn (org_id, order_key, delivery_id, is_late, ordered_types)
        VALUES (webhook.org_id, webhook.order_key, webhook.id, webhook.attempt > 1, p_ordered_types)
        ON CONFLICT (org_id, order_key) DO UPDATE
        SET checked_at = excluded.checked_at, idle = excluded.idle
        WHERE turn.delivery_id = excluded.delivery_id
        RETURNING turn.xmax = 0 INTO is_new;  -- zero: inserted, not updated
        IF is_new IS NULL THEN
            behind := behind || webhook.id;
        ELSIF is_new THEN
            earlier := webhook_on_its_way(
                webhook.org_id, webhook.order_key, p_ordered_types, webhook.id);
            IF earlier IS NOT NULL THEN
                UPDATE webhook_turns SET delivery_id = earlier, is_late = false
                WHERE org_id = webhook.org_id AND order_key = webhook.order_key;
                behind := behind || webhook.id;
            END IF;
        END IF;
    END LOOP;

    -- Its message is here, so no sweeper needs to publish it.
    PERFORM delete_order_waits(ARRAY(
        SELECT unnest(p_ids) EXCEPT SELECT unnest(behind || recorded)));
    RETURN QUERY SELECT unnest(behind);
END
$$;

CREATE FUNCTION public.transfer_webhook_claim(p_org_id uuid, p_dedup_key text, p_from uuid, p_to uuid) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE webhook_inbox SET delivery_id = p_to, claimed_at = now()
    WHERE org_id = p_org_id AND dedup_key = p_dedup_key AND delivery_id = p_from;
    IF NOT FOUND AND p_dedup_key IS NOT NULL THEN
        INSERT INTO webhook_inbox (org_id, dedup_key, delivery_id)
        VALUES (p_org_id, p_dedup_key, p_to)
        ON CONFLICT DO NOTHING;
    END IF;
END
$$;

CREATE FUNCTION public.try_lock_webhook_cleanup() RETURNS boolean
    LANGUAGE sql
    AS $$
    SELECT pg_try_advisory_xact_lock(hashtext('cleanup_old_webhook_logs'))
$$;

CREATE FUNCTION public.try_lock_webhook_stats() RETURNS boolean
    LANGUAGE sql
    AS $$
    SELECT pg_try_advisory_xact_lock(hashtext('fold_webhook_stats'))
$$;

CREATE FUNCTION public.use_webhook_console_code(p_code_hash bytea) RETURNS TABLE(role text, org_id uuid, subject text)
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    DELETE FROM webhook_console_codes AS code
    WHERE code.code_hash = p_code_hash AND code.expires_at > clock_timestamp()
    RETURNING code.role, code.org_id, code.subject
$$;

CREATE FUNCTION public.webhook_content(event_data jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
DECLARE
    content  jsonb := event_data;
    path     text[];
    artifact jsonb;
BEGIN
    FOR path IN VALUES (ARRAY['message', 'artifact']), (ARRAY['message', 'call', 'artifact']),
                       (ARRAY['artifact']), (ARRAY['call', 'artifact'])
    LOOP
        artifact := content #> path;
        IF jsonb_typeof(artifact) = 'object' THEN
            content := jsonb_set(content, path, artifact - ARRAY(
                SELECT key FROM jsonb_object_keys(artifact) AS key WHERE key LIKE 'presigned%'));
        END IF;
    END LOOP;
    RETURN content;
END
$$;

CREATE FUNCTION public.webhook_created_at(id uuid) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT to_timestamp(least(
        ('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint,
        253402128000000) / 1000.0)
$$;

CREATE FUNCTION public.webhook_extra_partition_count() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT count(*) FROM webhook_extra_partitions
    WHERE to_regclass(format('%I', 'webhook_delivery_log' || to_char(day, '_YYYYMMDD'))) IS NOT NULL
$$;

CREATE FUNCTION public.webhook_forward_id(received uuid, forward text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT (left(received::text, 14) || '7' || substr(digest, 1, 3) || '-8' || substr(digest, 4, 3)
            || '-' || substr(digest, 7, 12))::uuid
    FROM encode(sha256(convert_to(received::text || '/' || forward, 'UTF8')), 'hex') AS digest
$$;

CREATE FUNCTION public.webhook_forwards_from(received uuid) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT (left(received::text, 14) || '7000-8000-000000000000')::uuid
$$;

CREATE FUNCTION public.webhook_forwards_to(received uuid) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT (left(received::text, 14) || '7fff-8fff-ffffffffffff')::uuid
$$;

CREATE FUNCTION public.webhook_gateway_rows_after_insert() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO webhook_gateway_rows_deltas
    SELECT gateway_instance_id, count(*)
    FROM new_rows
    WHERE retry_of IS NULL AND forward_of IS NULL AND gateway_instance_id IS NOT NULL
    GROUP BY gateway_instance_id;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.webhook_has_payload(event_data jsonb) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
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

CREATE FUNCTION public.webhook_is_retryable(org_id uuid, gateway_instance_id uuid, event_data jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT org_id <> '00000000-0000-0000-0000-000000000000' AND gateway_instance_id IS NOT NULL
       AND webhook_has_payload(event_data)
       AND NOT (event_data ? 'unreadable_base64' AND NOT event_data ?| ARRAY['message', 'type'])
$$;

CREATE FUNCTION public.webhook_ledger() RETURNS TABLE(accepted bigint, deficit bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.webhook_oldest_ages() RETURNS TABLE(pending double precision, failed double precision)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.webhook_on_its_way(p_org_id uuid, p_order_key text, p_ordered_types text[], p_before uuid) RETURNS uuid
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
    first_id uuid := webhook_id_at(webhook_created_at(p_before) - interval '1 day');
BEGIN
    RETURN (
        WITH earlier AS MATERIALIZED (
            SELECT log.id, log.status = 'pending' AS is_pending
            FROM webhook_delivery_log AS log
            WHERE log.call_id = p_order_key AND log.org_id = p_org_id
              AND log.id >= first_id AND log.id < p_before AND log.forward_of IS NULL
              AND ARRAY[log.event_type, '*'] && p_ordered_types)
        SELECT waiting.id FROM earlier AS waiting
        WHERE waiting.is_pending
          AND NOT EXISTS (SELECT FROM earlier AS later
                          WHERE later.id > waiting.id AND NOT later.is_pending)
        ORDER BY waiting.id LIMIT 1);
END
$$;

CREATE FUNCTION public.webhook_org() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT nullif(nullif(current_setting('ringback.org_id', true), '')::uuid,
                  'ffffffff-ffff-ffff-ffff-ffffffffffff')
$$;

CREATE FUNCTION public.webhook_partition_days() RETURNS TABLE(day date)
    LANGUAGE sql STABLE
    AS $$
    -- Materialized: otherwise a caller's condition on the day is evaluated for every table.
    WITH partition AS MATERIALIZED (
        SELECT child.relname
        FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'webhook_delivery_log'::regclass
    )
    SELECT to_date(right(relname, 8), 'YYYYMMDD') FROM partition ORDER BY 1
$$;

CREATE FUNCTION public.webhook_partition_days_ahead() RETURNS integer
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.webhook_received_as(id uuid) RETURNS uuid
    LANGUAGE sql STABLE
    AS $_$
    WITH RECURSIVE retried AS (
        SELECT $1 AS id, (SELECT log.retry_of FROM webhook_delivery_log AS log WHERE log.id = $1)
            AS before
        UNION ALL
        SELECT retried.before,
               (SELECT log.retry_of FROM webhook_delivery_log AS log WHERE log.id = retried.before)
        FROM retried WHERE retried.before IS NOT NULL
    )
    SELECT retried.id FROM retried WHERE retried.before IS NULL
$_$;

CREATE FUNCTION public.webhook_resolution_conflict(status text, resolution text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE
        WHEN status <> 'dead_letter' THEN 'not_dead'
        WHEN resolution = 'retried' THEN 'already_retried'
        WHEN resolution IS NOT NULL THEN 'discarded'
    END
$$;

CREATE FUNCTION public.webhook_schema_has(versions text[]) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT versions <@ ARRAY(SELECT version FROM schema_migrations)
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

CREATE FUNCTION public.webhooks_without_turn(p_ids uuid[], p_failed uuid[]) RETURNS uuid[]
    LANGUAGE sql STABLE
    AS $$
    SELECT coalesce(array_agg(id), '{}') FROM unnest(p_ids) AS id
    WHERE id <> ALL (p_failed)
       OR EXISTS (SELECT FROM webhook_turns AS turn WHERE turn.delivery_id = id AND turn.is_late)
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
    last_event_at timestamp with time zone NOT NULL,
    ranks bigint[] DEFAULT '{0,0,0,0,0,0,0,0,0,0,0,0}'::bigint[] NOT NULL
);

ALTER TABLE ONLY public.voice_calls FORCE ROW LEVEL SECURITY;

COMMENT ON COLUMN public.voice_calls.events IS 'How many events of the call were processed, each counted once.';

COMMENT ON COLUMN public.voice_calls.ranks IS 'How far each value is to be trusted, from call_type to transcript. The higher rank wins.';

CREATE TABLE public.webhook_alert_lease (
    singleton boolean DEFAULT true NOT NULL,
    holder uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    not_before timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT webhook_alert_lease_singleton_check CHECK (singleton)
);

COMMENT ON TABLE public.webhook_alert_lease IS 'Which process may send a message, and until when none may.';

COMMENT ON COLUMN public.webhook_alert_lease.failures IS 'How many sends have failed in a row.';

CREATE TABLE public.webhook_alerts (
    org_id uuid NOT NULL,
    event_type text NOT NULL,
    error_class text NOT NULL,
    unsent bigint NOT NULL,
    sent bigint DEFAULT 0 NOT NULL,
    example uuid NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    unsent_since timestamp with time zone,
    last_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone
)
WITH (fillfactor='50');

ALTER TABLE ONLY public.webhook_alerts FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_alerts IS 'Groups of dead letters that people are alerted to, until no more arrive for a while.';

COMMENT ON COLUMN public.webhook_alerts.example IS 'The newest dead letter of the group.';

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
    request_id uuid,
    CONSTRAINT webhook_audit_action_check CHECK ((action = ANY (ARRAY['retry'::text, 'bulk_retry'::text, 'bulk_retry_paused'::text, 'bulk_retry_resumed'::text, 'bulk_retry_stopped'::text, 'bulk_retry_ended'::text, 'replay'::text, 'discard'::text, 'pause'::text, 'resume'::text, 'run_duplicate'::text, 'set_destination'::text, 'release_wait'::text, 'cancel_wait'::text])))
);

ALTER TABLE ONLY public.webhook_audit FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_audit IS 'Who changed what, when and why. Rows are only added.';

COMMENT ON COLUMN public.webhook_audit.org_id IS 'The org of the webhook; null for a change that affects all orgs.';

COMMENT ON COLUMN public.webhook_audit.request_id IS 'Of a released or cancelled wait: a request with this id that is repeated changes nothing.';

ALTER TABLE public.webhook_audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.webhook_audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.webhook_console_codes (
    code_hash bytea NOT NULL,
    role text NOT NULL,
    org_id uuid,
    subject text NOT NULL,
    expires_at timestamp with time zone DEFAULT (clock_timestamp() + '00:01:00'::interval) NOT NULL,
    CONSTRAINT webhook_console_codes_check CHECK (((role = 'tenant'::text) = (org_id IS NOT NULL))),
    CONSTRAINT webhook_console_codes_role_check CHECK ((role = ANY (ARRAY['tenant'::text, 'service'::text])))
);

ALTER TABLE ONLY public.webhook_console_codes FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_console_codes IS 'Codes that were created and not yet used, and whose rights a session then has. A code is deleted when it is used or has expired.';

COMMENT ON COLUMN public.webhook_console_codes.code_hash IS 'SHA-256 of the code, so that the table lets nobody sign in.';

CREATE TABLE public.webhook_dead_letter_notices (
    org_id uuid NOT NULL,
    event_type text NOT NULL,
    error_class text NOT NULL,
    dead_letters integer NOT NULL,
    example uuid NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

ALTER TABLE ONLY public.webhook_dead_letter_notices FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_dead_letter_notices IS 'How many dead letters of a group one statement recorded. Never updated, only folded.';

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
    answer jsonb,
    CONSTRAINT webhook_delivery_attempts_outcome_check CHECK ((outcome = ANY (ARRAY['completed'::text, 'failed'::text, 'permanent'::text, 'duplicate'::text])))
)
PARTITION BY RANGE (delivery_id);

ALTER TABLE ONLY public.webhook_delivery_attempts FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_delivery_attempts IS 'One row per attempt that ended. A redelivery repeats the outcome recorded here.';

COMMENT ON COLUMN public.webhook_delivery_attempts.answer IS 'What the receiver of a forward answered: status, latency_ms, text (4 kB, redacted), is_cut.';

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
    gateway_instance_id uuid,
    duplicate_of uuid,
    retry_of uuid,
    retried_as uuid,
    resolution text,
    resolved_at timestamp with time zone,
    duplicate_differs boolean,
    forward text,
    forward_of uuid,
    retry_schedule text,
    is_unresolved boolean GENERATED ALWAYS AS (
CASE
    WHEN ((status = 'dead_letter'::text) AND (resolution IS NULL)) THEN true
    ELSE NULL::boolean
END) STORED,
    CONSTRAINT webhook_delivery_log_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'processing'::text, 'completed'::text, 'failed'::text, 'dead_letter'::text, 'duplicate'::text])))
)
PARTITION BY RANGE (id);

ALTER TABLE ONLY public.webhook_delivery_log FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_delivery_log IS 'One row per accepted webhook.';

COMMENT ON COLUMN public.webhook_delivery_log.altered IS 'event_data differs from what arrived, because JSONB could not hold it.';

COMMENT ON COLUMN public.webhook_delivery_log.duplicate_differs IS 'Of a duplicate report or end of a call: whether its content differs from the first one. Null if they were not compared.';

COMMENT ON COLUMN public.webhook_delivery_log.forward_of IS 'Of a webhook that the forward `forward` sends to its URL: the one that a gateway received.';

COMMENT ON COLUMN public.webhook_delivery_log.retry_schedule IS 'The own retry schedule of its endpoint, if it had one. Written when an attempt ends.';

COMMENT ON COLUMN public.webhook_delivery_log.is_unresolved IS 'True for a dead letter that nobody has resolved; else null, so that it takes no space.';

CREATE TABLE public.webhook_destinations (
    name text NOT NULL,
    forced_state text,
    changed_at timestamp with time zone NOT NULL,
    changed_by text NOT NULL,
    reason text,
    CONSTRAINT webhook_destinations_forced_state_check CHECK ((forced_state = ANY (ARRAY['closed'::text, 'half_open'::text, 'open'::text])))
);

COMMENT ON TABLE public.webhook_destinations IS 'The destinations whose breakers a person has forced into a state. Null: no longer.';

CREATE TABLE public.webhook_extra_partitions (
    day date NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE public.webhook_extra_partitions IS 'Days of the log that were created because a webhook needed them. Deleted with their day.';

CREATE TABLE public.webhook_failing_forwards (
    destination text NOT NULL,
    failing_since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    reports integer DEFAULT 1 NOT NULL
);

COMMENT ON TABLE public.webhook_failing_forwards IS 'Destinations of forwards that have not succeeded since. Processors report once a minute.';

CREATE TABLE public.webhook_forward_notices (
    destination text NOT NULL,
    org_id uuid NOT NULL,
    endpoint_id text NOT NULL,
    forward text NOT NULL,
    failing_since timestamp with time zone NOT NULL,
    last_error text NOT NULL,
    stopped_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE ONLY public.webhook_forward_notices FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_forward_notices IS 'Forwards that were stopped and not announced yet. Inserted in the transaction that stops one.';

CREATE UNLOGGED TABLE public.webhook_gateway_endpoints (
    gateway_id uuid NOT NULL,
    endpoint_id text NOT NULL,
    org_id uuid NOT NULL,
    since timestamp with time zone NOT NULL,
    declared jsonb NOT NULL
);

ALTER TABLE ONLY public.webhook_gateway_endpoints FORCE ROW LEVEL SECURITY;

COMMENT ON COLUMN public.webhook_gateway_endpoints.since IS 'Since when the gateway has the endpoint as it is declared.';

COMMENT ON COLUMN public.webhook_gateway_endpoints.declared IS 'What the file says, without secrets.';

CREATE TABLE public.webhook_gateway_ledger (
    gateway_instance_id uuid NOT NULL,
    written_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    accepted bigint NOT NULL
);

CREATE UNLOGGED TABLE public.webhook_gateway_refusals (
    gateway_id uuid NOT NULL,
    endpoint_id text NOT NULL,
    org_id uuid,
    reason text NOT NULL,
    status integer NOT NULL,
    count bigint NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.webhook_gateway_refusals FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_gateway_refusals IS 'Requests that a gateway refused since its start. Without an endpoint: endpoint_id is empty.';

CREATE TABLE public.webhook_gateway_rows (
    gateway_instance_id uuid NOT NULL,
    inserted bigint NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE public.webhook_gateway_rows IS 'Rows of the log by the gateway instance that accepted them, including dropped rows.';

CREATE TABLE public.webhook_gateway_rows_deltas (
    gateway_instance_id uuid NOT NULL,
    inserted integer NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_insert_threshold='-1', autovacuum_vacuum_cost_delay='0', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='1000000');

CREATE UNLOGGED TABLE public.webhook_gateways (
    id uuid NOT NULL,
    host text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    endpoint_count integer NOT NULL,
    file_problems text[] NOT NULL
)
WITH (fillfactor='50');

COMMENT ON COLUMN public.webhook_gateways.id IS 'gateway_instance_id: one id per run of a process.';

COMMENT ON COLUMN public.webhook_gateways.file_problems IS 'Why the endpoints file is not usable. It then works with the endpoints that it had.';

CREATE TABLE public.webhook_inbox (
    org_id uuid NOT NULL,
    dedup_key text NOT NULL,
    delivery_id uuid NOT NULL,
    claimed_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.webhook_inbox FORCE ROW LEVEL SECURITY;

CREATE UNLOGGED TABLE public.webhook_processors (
    id uuid NOT NULL,
    in_flight integer NOT NULL,
    is_paused boolean NOT NULL,
    started_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    destinations jsonb DEFAULT '[]'::jsonb NOT NULL,
    CONSTRAINT webhook_processors_in_flight_check CHECK ((in_flight >= 0))
)
WITH (fillfactor='50');

COMMENT ON COLUMN public.webhook_processors.id IS 'One id per run of a process.';

COMMENT ON COLUMN public.webhook_processors.in_flight IS 'Webhooks received from the broker and not yet acknowledged or rejected.';

COMMENT ON COLUMN public.webhook_processors.is_paused IS 'Whether it has noticed a pause.';

COMMENT ON COLUMN public.webhook_processors.destinations IS 'The services that its handlers call, each with the state of its breaker.';

CREATE TABLE public.webhook_questions (
    id uuid NOT NULL,
    org_id uuid NOT NULL,
    endpoint_id text NOT NULL,
    event_type text NOT NULL,
    call_id text,
    dedup_key text,
    created_at timestamp with time zone NOT NULL,
    duration_ms double precision NOT NULL,
    outcome text NOT NULL,
    status integer NOT NULL,
    mistakes text[] NOT NULL,
    question jsonb,
    answer jsonb,
    trace_id text
);

ALTER TABLE ONLY public.webhook_questions FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_questions IS 'One row per question that was asked, with its answer.';

COMMENT ON COLUMN public.webhook_questions.outcome IS '`answered` if a backend gave the answer, otherwise why the fallback was used.';

COMMENT ON COLUMN public.webhook_questions.mistakes IS 'What Vapi does not understand in the answer.';

COMMENT ON COLUMN public.webhook_questions.answer IS 'What Vapi got; null if it is not JSON, as speech.';

CREATE TABLE public.webhook_retries (
    original uuid NOT NULL,
    new_id uuid NOT NULL,
    org_id uuid NOT NULL,
    actor text NOT NULL,
    role text NOT NULL,
    reason text NOT NULL,
    request_id uuid,
    run_id uuid,
    received_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    published_at timestamp with time zone,
    leased_until timestamp with time zone
);

ALTER TABLE ONLY public.webhook_retries FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_retries IS 'Which webhook retries which dead letter, duplicate or completed webhook, who asked for it and why. At most one each, by the primary key.';

COMMENT ON COLUMN public.webhook_retries.run_id IS 'The retry run that made it; null if it was made alone.';

COMMENT ON COLUMN public.webhook_retries.received_at IS 'When a gateway received the event. A retry of a retry keeps the time of the first webhook.';

COMMENT ON COLUMN public.webhook_retries.published_at IS 'When the broker confirmed it. Until then the sweeper publishes it again, under the same id.';

COMMENT ON COLUMN public.webhook_retries.leased_until IS 'Until then one sweeper publishes this retry, and the others skip it.';

CREATE TABLE public.webhook_retry_runs (
    id uuid NOT NULL,
    org_id uuid,
    kind text NOT NULL,
    event_type text,
    error_class text,
    call_id text,
    start_time timestamp with time zone,
    end_time timestamp with time zone,
    include_replays boolean NOT NULL,
    max_retries integer NOT NULL,
    rate_per_second double precision NOT NULL,
    stop_after_failures integer NOT NULL,
    actor text NOT NULL,
    role text NOT NULL,
    reason text NOT NULL,
    request_id uuid,
    state text DEFAULT 'running'::text NOT NULL,
    message text DEFAULT 'Waiting for its turn.'::text NOT NULL,
    matched bigint NOT NULL,
    matched_is_minimum boolean NOT NULL,
    retried bigint DEFAULT 0 NOT NULL,
    completed bigint DEFAULT 0 NOT NULL,
    failed_again bigint DEFAULT 0 NOT NULL,
    skipped bigint DEFAULT 0 NOT NULL,
    unfinished bigint DEFAULT 0 NOT NULL,
    allowed_rate double precision DEFAULT 0 NOT NULL,
    "position" uuid NOT NULL,
    until_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended_at timestamp with time zone,
    followed_until timestamp with time zone,
    lease_owner uuid,
    leased_until timestamp with time zone,
    CONSTRAINT webhook_retry_runs_kind_check CHECK ((kind = ANY (ARRAY['dead_letters'::text, 'completed'::text]))),
    CONSTRAINT webhook_retry_runs_state_check CHECK ((state = ANY (ARRAY['running'::text, 'held'::text, 'paused'::text, 'stopping'::text, 'finished'::text, 'stopped'::text, 'failed'::text])))
);

ALTER TABLE ONLY public.webhook_retry_runs FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_retry_runs IS 'Runs that retry many webhooks: what they retry, for whom, and how far they are.';

COMMENT ON COLUMN public.webhook_retry_runs.org_id IS 'The only org whose webhooks it retries; null for all orgs.';

COMMENT ON COLUMN public.webhook_retry_runs."position" IS 'Webhooks up to this id are done. Those after until_id arrived later, and are not retried.';

COMMENT ON COLUMN public.webhook_retry_runs.followed_until IS 'Of RetryDeliveries: the run stops at this time, unless its caller, still connected, moves it. Null: it runs without a caller.';

COMMENT ON COLUMN public.webhook_retry_runs.leased_until IS 'Until then the replica lease_owner works on it, and the others do not.';

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

ALTER TABLE ONLY public.webhook_stats FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_stats IS 'Webhooks by the minute (48 hours) and by the hour (31 days) in which they were created.';

COMMENT ON COLUMN public.webhook_stats.org_id IS 'ffffffff-ffff-ffff-ffff-ffffffffffff: the sum of all orgs.';

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

ALTER TABLE ONLY public.webhook_stats_deltas FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_stats_deltas IS 'Changes of the log that no bucket has yet. Rows are never updated, only folded.';

CREATE TABLE public.webhook_turns (
    org_id uuid NOT NULL,
    order_key text NOT NULL,
    delivery_id uuid NOT NULL,
    is_late boolean NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    checked_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    idle interval DEFAULT '00:00:00'::interval NOT NULL,
    ordered_types text[] DEFAULT '{}'::text[] NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE ONLY public.webhook_turns FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_turns IS 'One row per key of ordered webhooks that are not finished: which of them may run.';

COMMENT ON COLUMN public.webhook_turns.is_late IS 'Later webhooks went on without it. So a failure ends its turn: they need not wait again.';

COMMENT ON COLUMN public.webhook_turns.idle IS 'For how long processors have seen nothing of it. Their own downtime does not count.';

COMMENT ON COLUMN public.webhook_turns.ordered_types IS 'The event types of the key: those that had an ordered handler when the turn was taken; * is all.';

CREATE TABLE public.webhook_waits (
    delivery_id uuid NOT NULL,
    attempt integer NOT NULL,
    org_id uuid NOT NULL,
    event_type text NOT NULL,
    reason text NOT NULL,
    destination text,
    order_key text,
    cancellation text,
    due_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    leased_until timestamp with time zone,
    failures smallint DEFAULT 0 NOT NULL,
    publish_after timestamp with time zone,
    headers json NOT NULL,
    body bytea NOT NULL,
    CONSTRAINT webhook_waits_reason_check CHECK ((reason = ANY (ARRAY['retry'::text, 'destination'::text, 'order'::text, 'forward'::text, 'cancelled'::text])))
)
WITH (fillfactor='90');

ALTER TABLE ONLY public.webhook_waits FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.webhook_waits IS 'At most one row per webhook, deleted once the broker has confirmed its message. The body is what arrived, not redacted, as in the broker.';

COMMENT ON COLUMN public.webhook_waits.attempt IS 'The attempt that is due then.';

COMMENT ON COLUMN public.webhook_waits.cancellation IS 'By whom it was cancelled and why: the error message of the dead letter that it becomes.';

COMMENT ON COLUMN public.webhook_waits.due_at IS 'When its message is published; infinity until something else releases it.';

COMMENT ON COLUMN public.webhook_waits.leased_until IS 'Until then one processor publishes it, and the others skip it.';

COMMENT ON COLUMN public.webhook_waits.failures IS 'How often its message could not be published.';

COMMENT ON COLUMN public.webhook_waits.publish_after IS 'Not before, because it could not be published. It stays due, so its delay stays visible.';

ALTER TABLE ONLY public.voice_calls
    ADD CONSTRAINT voice_calls_pkey PRIMARY KEY (org_id, call_id);

ALTER TABLE ONLY public.webhook_alert_lease
    ADD CONSTRAINT webhook_alert_lease_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.webhook_alerts
    ADD CONSTRAINT webhook_alerts_pkey PRIMARY KEY (org_id, event_type, error_class);

ALTER TABLE ONLY public.webhook_audit
    ADD CONSTRAINT webhook_audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_console_codes
    ADD CONSTRAINT webhook_console_codes_pkey PRIMARY KEY (code_hash);

ALTER TABLE ONLY public.webhook_delivery_attempts
    ADD CONSTRAINT webhook_delivery_attempts_pkey PRIMARY KEY (delivery_id, attempt);

ALTER TABLE ONLY public.webhook_delivery_log
    ADD CONSTRAINT webhook_delivery_log_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_destinations
    ADD CONSTRAINT webhook_destinations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.webhook_extra_partitions
    ADD CONSTRAINT webhook_extra_partitions_pkey PRIMARY KEY (day);

ALTER TABLE ONLY public.webhook_failing_forwards
    ADD CONSTRAINT webhook_failing_forwards_pkey PRIMARY KEY (destination);

ALTER TABLE ONLY public.webhook_forward_notices
    ADD CONSTRAINT webhook_forward_notices_pkey PRIMARY KEY (destination);

ALTER TABLE ONLY public.webhook_gateway_endpoints
    ADD CONSTRAINT webhook_gateway_endpoints_pkey PRIMARY KEY (endpoint_id, gateway_id);

ALTER TABLE ONLY public.webhook_gateway_refusals
    ADD CONSTRAINT webhook_gateway_refusals_pkey PRIMARY KEY (endpoint_id, gateway_id, reason);

ALTER TABLE ONLY public.webhook_gateway_rows
    ADD CONSTRAINT webhook_gateway_rows_pkey PRIMARY KEY (gateway_instance_id);

ALTER TABLE ONLY public.webhook_gateways
    ADD CONSTRAINT webhook_gateways_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_inbox
    ADD CONSTRAINT webhook_inbox_pkey PRIMARY KEY (org_id, dedup_key);

ALTER TABLE ONLY public.webhook_processing
    ADD CONSTRAINT webhook_processing_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.webhook_processors
    ADD CONSTRAINT webhook_processors_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_questions
    ADD CONSTRAINT webhook_questions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_retries
    ADD CONSTRAINT webhook_retries_new_id_key UNIQUE (new_id);

ALTER TABLE ONLY public.webhook_retries
    ADD CONSTRAINT webhook_retries_pkey PRIMARY KEY (original);

ALTER TABLE ONLY public.webhook_retry_runs
    ADD CONSTRAINT webhook_retry_runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_stats
    ADD CONSTRAINT webhook_stats_pkey PRIMARY KEY (org_id, grain, bucket, event_type);

ALTER TABLE ONLY public.webhook_turns
    ADD CONSTRAINT webhook_turns_pkey PRIMARY KEY (org_id, order_key);

ALTER TABLE ONLY public.webhook_waits
    ADD CONSTRAINT webhook_waits_pkey PRIMARY KEY (delivery_id) INCLUDE (attempt, reason);

CREATE INDEX webhook_audit_action ON public.webhook_audit USING btree (action, at, id);

CREATE INDEX webhook_audit_actor ON public.webhook_audit USING btree (actor, at, id);

CREATE INDEX webhook_audit_at ON public.webhook_audit USING btree (at, id);

CREATE INDEX webhook_audit_job_id ON public.webhook_audit USING btree (job_id) WHERE (job_id IS NOT NULL);

CREATE INDEX webhook_audit_org ON public.webhook_audit USING btree (org_id, at, id) WHERE (org_id IS NOT NULL);

CREATE INDEX webhook_audit_request_id ON public.webhook_audit USING btree (request_id) WHERE (request_id IS NOT NULL);

CREATE INDEX webhook_delivery_log_call ON ONLY public.webhook_delivery_log USING btree (call_id, org_id) WHERE (call_id IS NOT NULL);

CREATE INDEX webhook_delivery_log_error ON ONLY public.webhook_delivery_log USING btree (id) WHERE (error_class IS NOT NULL);

CREATE INDEX webhook_delivery_log_org ON ONLY public.webhook_delivery_log USING btree (org_id, id);

CREATE INDEX webhook_delivery_log_org_error ON ONLY public.webhook_delivery_log USING btree (org_id, id) WHERE (error_class IS NOT NULL);

CREATE INDEX webhook_delivery_log_org_unresolved ON ONLY public.webhook_delivery_log USING btree (org_id, id) INCLUDE (event_type, error_class, created_at, altered) WHERE is_unresolved;

CREATE INDEX webhook_delivery_log_unresolved ON ONLY public.webhook_delivery_log USING btree (id) INCLUDE (event_type, error_class, created_at, altered) WHERE is_unresolved;

CREATE INDEX webhook_gateway_endpoints_gateway ON public.webhook_gateway_endpoints USING btree (gateway_id);

CREATE INDEX webhook_gateway_endpoints_org ON public.webhook_gateway_endpoints USING btree (org_id, endpoint_id);

CREATE INDEX webhook_gateway_ledger_instance ON public.webhook_gateway_ledger USING btree (gateway_instance_id, accepted);

CREATE INDEX webhook_gateway_refusals_gateway ON public.webhook_gateway_refusals USING btree (gateway_id);

CREATE INDEX webhook_inbox_claimed_at ON public.webhook_inbox USING brin (claimed_at);

CREATE INDEX webhook_questions_call ON public.webhook_questions USING btree (call_id, org_id) WHERE (call_id IS NOT NULL);

CREATE INDEX webhook_questions_org ON public.webhook_questions USING btree (org_id, id);

CREATE INDEX webhook_retries_created_at ON public.webhook_retries USING btree (created_at);

CREATE INDEX webhook_retries_org_run ON public.webhook_retries USING btree (org_id, run_id, new_id) WHERE (run_id IS NOT NULL);

CREATE INDEX webhook_retries_run_id ON public.webhook_retries USING btree (run_id, new_id) WHERE (run_id IS NOT NULL);

CREATE INDEX webhook_retries_unpublished ON public.webhook_retries USING btree (created_at) WHERE (published_at IS NULL);

CREATE INDEX webhook_retry_runs_active ON public.webhook_retry_runs USING btree (id) WHERE (ended_at IS NULL);

CREATE UNIQUE INDEX webhook_retry_runs_request_id ON public.webhook_retry_runs USING btree (actor, request_id) WHERE (request_id IS NOT NULL);

CREATE INDEX webhook_turns_delivery ON public.webhook_turns USING btree (delivery_id);

CREATE INDEX webhook_waits_destination ON public.webhook_waits USING btree (COALESCE(destination, ''::text), due_at);

CREATE INDEX webhook_waits_due_at ON public.webhook_waits USING btree (due_at, delivery_id);

CREATE INDEX webhook_waits_order ON public.webhook_waits USING btree (org_id, order_key, delivery_id) WHERE (order_key IS NOT NULL);

CREATE INDEX webhook_waits_org ON public.webhook_waits USING btree (org_id, due_at, delivery_id);

CREATE INDEX webhook_waits_reason ON public.webhook_waits USING btree (reason, due_at);

CREATE TRIGGER prune_expired AFTER INSERT ON public.webhook_console_codes FOR EACH STATEMENT EXECUTE FUNCTION public.prune_webhook_console_codes();

CREATE TRIGGER webhook_gateway_rows_inserted AFTER INSERT ON public.webhook_delivery_log REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.webhook_gateway_rows_after_insert();

CREATE TRIGGER webhook_stats_inserted AFTER INSERT ON public.webhook_delivery_log REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.webhook_stats_after_insert();

CREATE TRIGGER webhook_stats_updated AFTER UPDATE ON public.webhook_delivery_log REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.webhook_stats_after_update();

ALTER TABLE ONLY public.webhook_gateway_endpoints
    ADD CONSTRAINT webhook_gateway_endpoints_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES public.webhook_gateways(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhook_gateway_refusals
    ADD CONSTRAINT webhook_gateway_refusals_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES public.webhook_gateways(id) ON DELETE CASCADE;

CREATE POLICY answered_questions ON public.webhook_questions FOR INSERT TO ringback_gateway WITH CHECK (true);

CREATE POLICY every_row ON public.voice_calls TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_alerts TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_audit TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_console_codes TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_dead_letter_notices TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_delivery_attempts TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_delivery_log TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_forward_notices TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_gateway_endpoints TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_gateway_refusals TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_inbox TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_questions TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_retries TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_retry_runs TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_stats TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_stats_deltas TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_turns TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY every_row ON public.webhook_waits TO ringback_processor, ringback_service, ringback_operator USING (true);

CREATE POLICY own_rows ON public.voice_calls TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_alerts TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_audit TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_console_codes TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_dead_letter_notices TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_delivery_attempts TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_delivery_log TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_forward_notices TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_gateway_endpoints TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_gateway_refusals TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_inbox TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_questions TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_retries TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_retry_runs TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_stats TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_stats_deltas TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_turns TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY own_rows ON public.webhook_waits TO ringback_tenant, ringback_tenant_operator USING ((org_id = ( SELECT public.webhook_org() AS webhook_org)));

CREATE POLICY owner ON public.voice_calls TO postgres USING (true);

CREATE POLICY owner ON public.webhook_alerts TO postgres USING (true);

CREATE POLICY owner ON public.webhook_audit TO postgres USING (true);

CREATE POLICY owner ON public.webhook_console_codes TO postgres USING (true);

CREATE POLICY owner ON public.webhook_dead_letter_notices TO postgres USING (true);

CREATE POLICY owner ON public.webhook_delivery_attempts TO postgres USING (true);

CREATE POLICY owner ON public.webhook_delivery_log TO postgres USING (true);

CREATE POLICY owner ON public.webhook_forward_notices TO postgres USING (true);

CREATE POLICY owner ON public.webhook_gateway_endpoints TO postgres USING (true);

CREATE POLICY owner ON public.webhook_gateway_refusals TO postgres USING (true);

CREATE POLICY owner ON public.webhook_inbox TO postgres USING (true);

CREATE POLICY owner ON public.webhook_questions TO postgres USING (true);

CREATE POLICY owner ON public.webhook_retries TO postgres USING (true);

CREATE POLICY owner ON public.webhook_retry_runs TO postgres USING (true);

CREATE POLICY owner ON public.webhook_stats TO postgres USING (true);

CREATE POLICY owner ON public.webhook_stats_deltas TO postgres USING (true);

CREATE POLICY owner ON public.webhook_turns TO postgres USING (true);

CREATE POLICY owner ON public.webhook_waits TO postgres USING (true);

CREATE POLICY pending_rows ON public.webhook_delivery_log FOR INSERT TO ringback_gateway WITH CHECK ((status = 'pending'::text));

ALTER TABLE public.voice_calls ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_alerts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_audit ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_console_codes ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_dead_letter_notices ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_delivery_attempts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_delivery_log ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_forward_notices ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_gateway_endpoints ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_gateway_refusals ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_inbox ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_questions ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_retries ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_retry_runs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_stats ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_stats_deltas ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_turns ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_waits ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON FUNCTION public.acquire_webhook_alert_lease(p_holder uuid, p_lease interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.acquire_webhook_alert_lease(p_holder uuid, p_lease interval) TO ringback_metrics;

REVOKE ALL ON FUNCTION public.add_webhook_forwards(p_forwards json, p_bodies bytea[], only_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.add_webhook_forwards(p_forwards json, p_bodies bytea[], only_ids uuid[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.add_webhook_retry(p_original uuid, p_new_id uuid, p_keep_dedup_key boolean, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_action text, p_details jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.add_webhook_retry(p_original uuid, p_new_id uuid, p_keep_dedup_key boolean, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_action text, p_details jsonb) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.add_webhook_retry(p_original uuid, p_new_id uuid, p_keep_dedup_key boolean, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_action text, p_details jsonb) TO ringback_operator;

REVOKE ALL ON FUNCTION public.add_webhook_waits(p_waits json, p_bodies bytea[], only_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.add_webhook_waits(p_waits json, p_bodies bytea[], only_ids uuid[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.begin_webhook_attempts(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.begin_webhook_attempts(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.begin_webhook_transaction(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.begin_webhook_transaction(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.change_webhook_retry_run(p_id uuid, p_state text, p_message text, p_actor text, p_role text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.change_webhook_retry_run(p_id uuid, p_state text, p_message text, p_actor text, p_role text, p_reason text) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.change_webhook_retry_run(p_id uuid, p_state text, p_message text, p_actor text, p_role text, p_reason text) TO ringback_operator;

REVOKE ALL ON FUNCTION public.change_webhook_waits(p_action text, p_id uuid, p_wait_reason text, p_destination text, p_limit integer, p_actor text, p_role text, p_reason text, p_request_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.change_webhook_waits(p_action text, p_id uuid, p_wait_reason text, p_destination text, p_limit integer, p_actor text, p_role text, p_reason text, p_request_id uuid) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.change_webhook_waits(p_action text, p_id uuid, p_wait_reason text, p_destination text, p_limit integer, p_actor text, p_role text, p_reason text, p_request_id uuid) TO ringback_operator;

REVOKE ALL ON FUNCTION public.check_webhook_turns(p_gap interval, p_max_parked integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.check_webhook_turns(p_gap interval, p_max_parked integer) TO ringback_processor;

REVOKE ALL ON FUNCTION public.claim_webhook_events(ids uuid[], org_ids uuid[], dedup_keys text[], only_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.claim_webhook_events(ids uuid[], org_ids uuid[], dedup_keys text[], only_ids uuid[]) TO ringback_processor;

REVOKE ALL ON PROCEDURE public.cleanup_old_webhook_logs(IN retention_days integer, IN batch_size integer) FROM PUBLIC;
GRANT ALL ON PROCEDURE public.cleanup_old_webhook_logs(IN retention_days integer, IN batch_size integer) TO ringback_processor;

REVOKE ALL ON FUNCTION public.close_webhook_alerts(p_holder uuid, p_org_ids uuid[], p_event_types text[], p_error_classes text[], p_last_ats timestamp with time zone[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.close_webhook_alerts(p_holder uuid, p_org_ids uuid[], p_event_types text[], p_error_classes text[], p_last_ats timestamp with time zone[]) TO ringback_metrics;

REVOKE ALL ON FUNCTION public.close_webhook_forward_notices(p_holder uuid, p_destinations text[], p_stopped_ats timestamp with time zone[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.close_webhook_forward_notices(p_holder uuid, p_destinations text[], p_stopped_ats timestamp with time zone[]) TO ringback_metrics;

REVOKE ALL ON FUNCTION public.compare_webhook_duplicates(only_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.compare_webhook_duplicates(only_ids uuid[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.count_unresolved_dead_letters() FROM PUBLIC;
GRANT ALL ON FUNCTION public.count_unresolved_dead_letters() TO ringback_metrics;

REVOKE ALL ON FUNCTION public.create_webhook_partitions(day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.create_webhook_policies(target regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.deallocate_prepared_statements() FROM PUBLIC;
GRANT ALL ON FUNCTION public.deallocate_prepared_statements() TO ringback_processor;

REVOKE ALL ON FUNCTION public.delete_finished_webhooks(old_day date, batch_size integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.delete_finished_webhooks(old_day date, batch_size integer) TO ringback_processor;

REVOKE ALL ON FUNCTION public.delete_order_waits(p_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.delete_order_waits(p_ids uuid[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.discard_webhook(p_id uuid, p_actor text, p_role text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.discard_webhook(p_id uuid, p_actor text, p_role text, p_reason text) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.discard_webhook(p_id uuid, p_actor text, p_role text, p_reason text) TO ringback_operator;

REVOKE ALL ON FUNCTION public.drop_finished_webhook_partitions(old_day date) FROM PUBLIC;
GRANT ALL ON FUNCTION public.drop_finished_webhook_partitions(old_day date) TO ringback_processor;

REVOKE ALL ON FUNCTION public.enable_webhook_row_security(target regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.end_webhook_turns(p_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.end_webhook_turns(p_ids uuid[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.ensure_webhook_partitions(first_day date, last_day date) FROM PUBLIC;
GRANT ALL ON FUNCTION public.ensure_webhook_partitions(first_day date, last_day date) TO ringback_processor;

REVOKE ALL ON FUNCTION public.ensure_webhook_partitions_for(days date[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.ensure_webhook_partitions_for(days date[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.ensure_webhook_rows(ids uuid[], org_ids uuid[], endpoint_ids text[], event_types text[], event_data text[], altered boolean[], max_attempts integer[], call_ids text[], dedup_keys text[], gateway_instance_ids uuid[], retries_of uuid[], only_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.ensure_webhook_rows(ids uuid[], org_ids uuid[], endpoint_ids text[], event_types text[], event_data text[], altered boolean[], max_attempts integer[], call_ids text[], dedup_keys text[], gateway_instance_ids uuid[], retries_of uuid[], only_ids uuid[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.expired_webhook_days(retention_days integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.expired_webhook_days(retention_days integer) TO ringback_processor;

REVOKE ALL ON FUNCTION public.finish_webhook_attempts(p_ids uuid[], p_attempts integer[], p_outcomes text[], p_started_at timestamp with time zone[], p_ended_at timestamp with time zone[], p_error_classes text[], p_error_messages text[], p_trace_ids text[], p_span_ids text[], p_ends uuid[], p_call_updates json, p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_wait_bodies bytea[], p_answers text[], p_forwards json, p_forward_bodies bytea[], p_ordered uuid[], p_retry_schedules text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.finish_webhook_attempts(p_ids uuid[], p_attempts integer[], p_outcomes text[], p_started_at timestamp with time zone[], p_ended_at timestamp with time zone[], p_error_classes text[], p_error_messages text[], p_trace_ids text[], p_span_ids text[], p_ends uuid[], p_call_updates json, p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_wait_bodies bytea[], p_answers text[], p_forwards json, p_forward_bodies bytea[], p_ordered uuid[], p_retry_schedules text[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.finish_webhook_transaction(p_transaction_id text, p_role_name text, p_search_path text, p_ids uuid[], p_attempts integer[], p_outcomes text[], p_started_at timestamp with time zone[], p_ended_at timestamp with time zone[], p_error_classes text[], p_error_messages text[], p_trace_ids text[], p_span_ids text[], p_ends uuid[], p_call_updates json, p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_wait_bodies bytea[], p_answers text[], p_forwards json, p_forward_bodies bytea[], p_ordered uuid[], p_retry_schedules text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.finish_webhook_transaction(p_transaction_id text, p_role_name text, p_search_path text, p_ids uuid[], p_attempts integer[], p_outcomes text[], p_started_at timestamp with time zone[], p_ended_at timestamp with time zone[], p_error_classes text[], p_error_messages text[], p_trace_ids text[], p_span_ids text[], p_ends uuid[], p_call_updates json, p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_wait_bodies bytea[], p_answers text[], p_forwards json, p_forward_bodies bytea[], p_ordered uuid[], p_retry_schedules text[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.fold_webhook_dead_letter_notices(p_limit integer, OUT moved bigint, OUT dropped bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.fold_webhook_dead_letter_notices(p_limit integer, OUT moved bigint, OUT dropped bigint) TO ringback_metrics;

REVOKE ALL ON FUNCTION public.fold_webhook_gateway_rows() FROM PUBLIC;
GRANT ALL ON FUNCTION public.fold_webhook_gateway_rows() TO ringback_metrics;

REVOKE ALL ON FUNCTION public.fold_webhook_stats(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.fold_webhook_stats(p_limit integer) TO ringback_metrics;

REVOKE ALL ON FUNCTION public.forget_webhook_gateway(p_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.forget_webhook_gateway(p_id uuid) TO ringback_gateway;

REVOKE ALL ON FUNCTION public.give_webhook_turn(p_org_id uuid, p_order_key text, p_waits_for_earlier boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.give_webhook_turn(p_org_id uuid, p_order_key text, p_waits_for_earlier boolean) TO ringback_processor;

REVOKE ALL ON FUNCTION public.hold_webhooks(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_bodies bytea[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.hold_webhooks(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_bodies bytea[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.lease_webhook_waits(p_destinations text[], p_limits integer[], p_first_limit integer, p_count integer, p_lease interval, p_bytes bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.lease_webhook_waits(p_destinations text[], p_limits integer[], p_first_limit integer, p_count integer, p_lease interval, p_bytes bigint) TO ringback_processor;

REVOKE ALL ON FUNCTION public.lock_webhook_alerts(p_holder uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.lock_webhook_decision(id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.lock_webhook_decision(id uuid) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.lock_webhook_decision(id uuid) TO ringback_operator;

REVOKE ALL ON FUNCTION public.mark_webhook_alerts_sent(p_holder uuid, p_org_ids uuid[], p_event_types text[], p_error_classes text[], p_counts bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.mark_webhook_alerts_sent(p_holder uuid, p_org_ids uuid[], p_event_types text[], p_error_classes text[], p_counts bigint[]) TO ringback_metrics;

REVOKE ALL ON FUNCTION public.matching_completed_webhooks(p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text, p_created_from timestamp with time zone, p_created_before timestamp with time zone, p_include_replays boolean, p_first_org uuid, p_last_org uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.matching_completed_webhooks(p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text, p_created_from timestamp with time zone, p_created_before timestamp with time zone, p_include_replays boolean, p_first_org uuid, p_last_org uuid) TO ringback_tenant;
GRANT ALL ON FUNCTION public.matching_completed_webhooks(p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text, p_created_from timestamp with time zone, p_created_before timestamp with time zone, p_include_replays boolean, p_first_org uuid, p_last_org uuid) TO ringback_service;
GRANT ALL ON FUNCTION public.matching_completed_webhooks(p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text, p_created_from timestamp with time zone, p_created_before timestamp with time zone, p_include_replays boolean, p_first_org uuid, p_last_org uuid) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.matching_completed_webhooks(p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text, p_created_from timestamp with time zone, p_created_before timestamp with time zone, p_include_replays boolean, p_first_org uuid, p_last_org uuid) TO ringback_operator;

REVOKE ALL ON FUNCTION public.matching_dead_letters(p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text, p_created_from timestamp with time zone, p_created_before timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.matching_dead_letters(p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text, p_created_from timestamp with time zone, p_created_before timestamp with time zone) TO ringback_tenant;
GRANT ALL ON FUNCTION public.matching_dead_letters(p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text, p_created_from timestamp with time zone, p_created_before timestamp with time zone) TO ringback_service;
GRANT ALL ON FUNCTION public.matching_dead_letters(p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text, p_created_from timestamp with time zone, p_created_before timestamp with time zone) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.matching_dead_letters(p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text, p_created_from timestamp with time zone, p_created_before timestamp with time zone) TO ringback_operator;

REVOKE ALL ON FUNCTION public.merge_voice_calls(p_updates json, counted uuid[], uncounted uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.merge_voice_calls(p_updates json, counted uuid[], uncounted uuid[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.park_webhooks(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_bodies bytea[], p_order_keys text[], p_ordered_types text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.park_webhooks(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_bodies bytea[], p_order_keys text[], p_ordered_types text[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.prune_webhook_alerts(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.prune_webhook_alerts(p_limit integer) TO ringback_metrics;

REVOKE ALL ON FUNCTION public.prune_webhook_console_codes() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.prune_webhook_inbox(batch_size integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.prune_webhook_inbox(batch_size integer) TO ringback_processor;

REVOKE ALL ON FUNCTION public.prune_webhook_ledger(retention_days integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.prune_webhook_ledger(retention_days integer) TO ringback_processor;

REVOKE ALL ON FUNCTION public.prune_webhook_questions(retention_days integer, batch_size integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.prune_webhook_questions(retention_days integer, batch_size integer) TO ringback_processor;

REVOKE ALL ON FUNCTION public.prune_webhook_retries(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.prune_webhook_retries(p_limit integer) TO ringback_metrics;

REVOKE ALL ON FUNCTION public.prune_webhook_stats() FROM PUBLIC;
GRANT ALL ON FUNCTION public.prune_webhook_stats() TO ringback_metrics;

REVOKE ALL ON FUNCTION public.prune_webhook_waits(batch_size integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.prune_webhook_waits(batch_size integer) TO ringback_processor;

REVOKE ALL ON FUNCTION public.rebuild_webhook_stats() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.record_webhook_dead_letters(p_ids uuid[], p_attempts integer[], p_error_classes text[], p_error_messages text[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_retry_schedules text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_webhook_dead_letters(p_ids uuid[], p_attempts integer[], p_error_classes text[], p_error_messages text[], p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[], p_retry_schedules text[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.record_webhook_forward_outcomes(p_succeeded text[], p_failed json, p_stopped_after interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_webhook_forward_outcomes(p_succeeded text[], p_failed json, p_stopped_after interval) TO ringback_processor;

REVOKE ALL ON FUNCTION public.record_webhook_heartbeat(p_id uuid, p_in_flight integer, p_is_paused boolean, p_started_at timestamp with time zone, p_destinations jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_webhook_heartbeat(p_id uuid, p_in_flight integer, p_is_paused boolean, p_started_at timestamp with time zone, p_destinations jsonb) TO ringback_processor;

REVOKE ALL ON FUNCTION public.release_webhook_alert_lease(p_holder uuid, p_failures integer, p_pause interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.release_webhook_alert_lease(p_holder uuid, p_failures integer, p_pause interval) TO ringback_metrics;

REVOKE ALL ON FUNCTION public.replay_webhook(p_original uuid, p_new_id uuid, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.replay_webhook(p_original uuid, p_new_id uuid, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.replay_webhook(p_original uuid, p_new_id uuid, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb) TO ringback_operator;

REVOKE ALL ON FUNCTION public.report_webhook_gateway(p_id uuid, p_host text, p_started_at timestamp with time zone, p_endpoint_count integer, p_file_problems text[], p_endpoints jsonb, p_refusals jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.report_webhook_gateway(p_id uuid, p_host text, p_started_at timestamp with time zone, p_endpoint_count integer, p_file_problems text[], p_endpoints jsonb, p_refusals jsonb) TO ringback_gateway;

REVOKE ALL ON FUNCTION public.require_past_webhook_day(old_day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.resolve_webhook(p_id uuid, p_resolution text, p_retried_as uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.resolve_webhook(p_id uuid, p_resolution text, p_retried_as uuid) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.resolve_webhook(p_id uuid, p_resolution text, p_retried_as uuid) TO ringback_operator;

REVOKE ALL ON FUNCTION public.retry_webhook(p_original uuid, p_new_id uuid, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.retry_webhook(p_original uuid, p_new_id uuid, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.retry_webhook(p_original uuid, p_new_id uuid, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb) TO ringback_operator;

REVOKE ALL ON FUNCTION public.run_duplicate_webhook(p_original uuid, p_new_id uuid, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.run_duplicate_webhook(p_original uuid, p_new_id uuid, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.run_duplicate_webhook(p_original uuid, p_new_id uuid, p_max_attempts integer, p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb) TO ringback_operator;

REVOKE ALL ON FUNCTION public.set_webhook_destination(p_name text, p_forced_state text, p_actor text, p_role text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_webhook_destination(p_name text, p_forced_state text, p_actor text, p_role text, p_reason text) TO ringback_operator;

GRANT SELECT ON TABLE public.webhook_processing TO ringback_processor;
GRANT SELECT ON TABLE public.webhook_processing TO ringback_tenant;
GRANT SELECT ON TABLE public.webhook_processing TO ringback_service;
GRANT SELECT ON TABLE public.webhook_processing TO ringback_tenant_operator;
GRANT SELECT ON TABLE public.webhook_processing TO ringback_operator;
GRANT SELECT ON TABLE public.webhook_processing TO ringback_metrics;

GRANT UPDATE(paused) ON TABLE public.webhook_processing TO ringback_operator;

GRANT UPDATE(changed_at) ON TABLE public.webhook_processing TO ringback_operator;

GRANT UPDATE(changed_by) ON TABLE public.webhook_processing TO ringback_operator;

GRANT UPDATE(reason) ON TABLE public.webhook_processing TO ringback_operator;

REVOKE ALL ON FUNCTION public.set_webhook_processing(p_paused boolean, p_actor text, p_role text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_webhook_processing(p_paused boolean, p_actor text, p_role text, p_reason text) TO ringback_operator;

REVOKE ALL ON FUNCTION public.take_webhook_turns(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_order_keys text[], p_ordered_types text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.take_webhook_turns(p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_order_keys text[], p_ordered_types text[]) TO ringback_processor;

REVOKE ALL ON FUNCTION public.transfer_webhook_claim(p_org_id uuid, p_dedup_key text, p_from uuid, p_to uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.transfer_webhook_claim(p_org_id uuid, p_dedup_key text, p_from uuid, p_to uuid) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.transfer_webhook_claim(p_org_id uuid, p_dedup_key text, p_from uuid, p_to uuid) TO ringback_operator;

REVOKE ALL ON FUNCTION public.try_lock_webhook_cleanup() FROM PUBLIC;
GRANT ALL ON FUNCTION public.try_lock_webhook_cleanup() TO ringback_processor;

REVOKE ALL ON FUNCTION public.try_lock_webhook_stats() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.use_webhook_console_code(p_code_hash bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.use_webhook_console_code(p_code_hash bytea) TO ringback_metrics;

REVOKE ALL ON FUNCTION public.webhook_content(event_data jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_content(event_data jsonb) TO ringback_processor;

REVOKE ALL ON FUNCTION public.webhook_created_at(id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_created_at(id uuid) TO ringback_processor;
GRANT ALL ON FUNCTION public.webhook_created_at(id uuid) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.webhook_created_at(id uuid) TO ringback_operator;

REVOKE ALL ON FUNCTION public.webhook_extra_partition_count() FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_extra_partition_count() TO ringback_service;

REVOKE ALL ON FUNCTION public.webhook_forward_id(received uuid, forward text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_forward_id(received uuid, forward text) TO ringback_processor;

REVOKE ALL ON FUNCTION public.webhook_forwards_from(received uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_forwards_from(received uuid) TO ringback_processor;
GRANT ALL ON FUNCTION public.webhook_forwards_from(received uuid) TO ringback_tenant;
GRANT ALL ON FUNCTION public.webhook_forwards_from(received uuid) TO ringback_service;
GRANT ALL ON FUNCTION public.webhook_forwards_from(received uuid) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.webhook_forwards_from(received uuid) TO ringback_operator;

REVOKE ALL ON FUNCTION public.webhook_forwards_to(received uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_forwards_to(received uuid) TO ringback_processor;
GRANT ALL ON FUNCTION public.webhook_forwards_to(received uuid) TO ringback_tenant;
GRANT ALL ON FUNCTION public.webhook_forwards_to(received uuid) TO ringback_service;
GRANT ALL ON FUNCTION public.webhook_forwards_to(received uuid) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.webhook_forwards_to(received uuid) TO ringback_operator;

REVOKE ALL ON FUNCTION public.webhook_gateway_rows_after_insert() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.webhook_has_payload(event_data jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_has_payload(event_data jsonb) TO ringback_processor;
GRANT ALL ON FUNCTION public.webhook_has_payload(event_data jsonb) TO ringback_tenant;
GRANT ALL ON FUNCTION public.webhook_has_payload(event_data jsonb) TO ringback_service;
GRANT ALL ON FUNCTION public.webhook_has_payload(event_data jsonb) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.webhook_has_payload(event_data jsonb) TO ringback_operator;

REVOKE ALL ON FUNCTION public.webhook_id_at(moment timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_id_at(moment timestamp with time zone) TO ringback_processor;
GRANT ALL ON FUNCTION public.webhook_id_at(moment timestamp with time zone) TO ringback_tenant;
GRANT ALL ON FUNCTION public.webhook_id_at(moment timestamp with time zone) TO ringback_service;
GRANT ALL ON FUNCTION public.webhook_id_at(moment timestamp with time zone) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.webhook_id_at(moment timestamp with time zone) TO ringback_operator;

REVOKE ALL ON FUNCTION public.webhook_is_finished(status text, resolution text) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.webhook_is_retryable(org_id uuid, gateway_instance_id uuid, event_data jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_is_retryable(org_id uuid, gateway_instance_id uuid, event_data jsonb) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.webhook_is_retryable(org_id uuid, gateway_instance_id uuid, event_data jsonb) TO ringback_operator;

REVOKE ALL ON FUNCTION public.webhook_ledger() FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_ledger() TO ringback_service;

REVOKE ALL ON FUNCTION public.webhook_oldest_ages() FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_oldest_ages() TO ringback_service;

REVOKE ALL ON FUNCTION public.webhook_on_its_way(p_org_id uuid, p_order_key text, p_ordered_types text[], p_before uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_on_its_way(p_org_id uuid, p_order_key text, p_ordered_types text[], p_before uuid) TO ringback_processor;

REVOKE ALL ON FUNCTION public.webhook_org() FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_org() TO ringback_tenant;
GRANT ALL ON FUNCTION public.webhook_org() TO ringback_service;
GRANT ALL ON FUNCTION public.webhook_org() TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.webhook_org() TO ringback_operator;

REVOKE ALL ON FUNCTION public.webhook_partition_days() FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_partition_days() TO ringback_processor;

REVOKE ALL ON FUNCTION public.webhook_partition_days_ahead() FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_partition_days_ahead() TO ringback_service;

REVOKE ALL ON FUNCTION public.webhook_received_as(id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_received_as(id uuid) TO ringback_processor;
GRANT ALL ON FUNCTION public.webhook_received_as(id uuid) TO ringback_tenant;
GRANT ALL ON FUNCTION public.webhook_received_as(id uuid) TO ringback_service;
GRANT ALL ON FUNCTION public.webhook_received_as(id uuid) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.webhook_received_as(id uuid) TO ringback_operator;

REVOKE ALL ON FUNCTION public.webhook_resolution_conflict(status text, resolution text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_resolution_conflict(status text, resolution text) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.webhook_resolution_conflict(status text, resolution text) TO ringback_operator;

REVOKE ALL ON FUNCTION public.webhook_schema_has(versions text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_schema_has(versions text[]) TO ringback_gateway;
GRANT ALL ON FUNCTION public.webhook_schema_has(versions text[]) TO ringback_processor;
GRANT ALL ON FUNCTION public.webhook_schema_has(versions text[]) TO ringback_metrics;

REVOKE ALL ON FUNCTION public.webhook_stats_after_insert() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.webhook_stats_after_update() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.webhook_stats_hours_from() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.webhook_stats_minutes_from() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.webhook_stats_of(p_org uuid, p_from timestamp with time zone, p_to timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_stats_of(p_org uuid, p_from timestamp with time zone, p_to timestamp with time zone) TO ringback_tenant;
GRANT ALL ON FUNCTION public.webhook_stats_of(p_org uuid, p_from timestamp with time zone, p_to timestamp with time zone) TO ringback_service;
GRANT ALL ON FUNCTION public.webhook_stats_of(p_org uuid, p_from timestamp with time zone, p_to timestamp with time zone) TO ringback_tenant_operator;
GRANT ALL ON FUNCTION public.webhook_stats_of(p_org uuid, p_from timestamp with time zone, p_to timestamp with time zone) TO ringback_operator;

REVOKE ALL ON FUNCTION public.webhooks_without_turn(p_ids uuid[], p_failed uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhooks_without_turn(p_ids uuid[], p_failed uuid[]) TO ringback_processor;

GRANT SELECT,INSERT,UPDATE ON TABLE public.voice_calls TO ringback_processor;

GRANT SELECT ON TABLE public.webhook_alerts TO ringback_service;

GRANT SELECT ON TABLE public.webhook_audit TO ringback_tenant;
GRANT SELECT ON TABLE public.webhook_audit TO ringback_service;
GRANT SELECT,INSERT ON TABLE public.webhook_audit TO ringback_tenant_operator;
GRANT SELECT,INSERT ON TABLE public.webhook_audit TO ringback_operator;

GRANT INSERT(code_hash) ON TABLE public.webhook_console_codes TO ringback_tenant_operator;
GRANT INSERT(code_hash) ON TABLE public.webhook_console_codes TO ringback_operator;

GRANT INSERT(role) ON TABLE public.webhook_console_codes TO ringback_tenant_operator;
GRANT INSERT(role) ON TABLE public.webhook_console_codes TO ringback_operator;

GRANT INSERT(org_id) ON TABLE public.webhook_console_codes TO ringback_tenant_operator;
GRANT INSERT(org_id) ON TABLE public.webhook_console_codes TO ringback_operator;

GRANT INSERT(subject) ON TABLE public.webhook_console_codes TO ringback_tenant_operator;
GRANT INSERT(subject) ON TABLE public.webhook_console_codes TO ringback_operator;

GRANT SELECT(expires_at) ON TABLE public.webhook_console_codes TO ringback_tenant_operator;
GRANT SELECT(expires_at) ON TABLE public.webhook_console_codes TO ringback_operator;

GRANT INSERT ON TABLE public.webhook_dead_letter_notices TO ringback_processor;

GRANT SELECT,INSERT,UPDATE ON TABLE public.webhook_delivery_attempts TO ringback_processor;
GRANT SELECT ON TABLE public.webhook_delivery_attempts TO ringback_tenant;
GRANT SELECT ON TABLE public.webhook_delivery_attempts TO ringback_service;
GRANT SELECT ON TABLE public.webhook_delivery_attempts TO ringback_tenant_operator;
GRANT SELECT ON TABLE public.webhook_delivery_attempts TO ringback_operator;

GRANT SELECT,INSERT,UPDATE ON TABLE public.webhook_delivery_log TO ringback_processor;
GRANT SELECT ON TABLE public.webhook_delivery_log TO ringback_tenant;
GRANT SELECT ON TABLE public.webhook_delivery_log TO ringback_service;
GRANT SELECT,INSERT ON TABLE public.webhook_delivery_log TO ringback_tenant_operator;
GRANT SELECT,INSERT ON TABLE public.webhook_delivery_log TO ringback_operator;

GRANT INSERT(id) ON TABLE public.webhook_delivery_log TO ringback_gateway;

GRANT INSERT(org_id) ON TABLE public.webhook_delivery_log TO ringback_gateway;

GRANT INSERT(endpoint_id) ON TABLE public.webhook_delivery_log TO ringback_gateway;

GRANT INSERT(event_type) ON TABLE public.webhook_delivery_log TO ringback_gateway;

GRANT INSERT(event_data) ON TABLE public.webhook_delivery_log TO ringback_gateway;

GRANT INSERT(status) ON TABLE public.webhook_delivery_log TO ringback_gateway;

GRANT INSERT(max_attempts) ON TABLE public.webhook_delivery_log TO ringback_gateway;

GRANT INSERT(created_at) ON TABLE public.webhook_delivery_log TO ringback_gateway;

GRANT INSERT(call_id) ON TABLE public.webhook_delivery_log TO ringback_gateway;

GRANT INSERT(dedup_key) ON TABLE public.webhook_delivery_log TO ringback_gateway;

GRANT INSERT(gateway_instance_id) ON TABLE public.webhook_delivery_log TO ringback_gateway;

GRANT UPDATE(retried_as) ON TABLE public.webhook_delivery_log TO ringback_tenant_operator;
GRANT UPDATE(retried_as) ON TABLE public.webhook_delivery_log TO ringback_operator;

GRANT UPDATE(resolution) ON TABLE public.webhook_delivery_log TO ringback_tenant_operator;
GRANT UPDATE(resolution) ON TABLE public.webhook_delivery_log TO ringback_operator;

GRANT UPDATE(resolved_at) ON TABLE public.webhook_delivery_log TO ringback_tenant_operator;
GRANT UPDATE(resolved_at) ON TABLE public.webhook_delivery_log TO ringback_operator;

GRANT SELECT ON TABLE public.webhook_destinations TO ringback_processor;
GRANT SELECT ON TABLE public.webhook_destinations TO ringback_service;
GRANT SELECT,INSERT ON TABLE public.webhook_destinations TO ringback_operator;

GRANT UPDATE(forced_state) ON TABLE public.webhook_destinations TO ringback_operator;

GRANT UPDATE(changed_at) ON TABLE public.webhook_destinations TO ringback_operator;

GRANT UPDATE(changed_by) ON TABLE public.webhook_destinations TO ringback_operator;

GRANT UPDATE(reason) ON TABLE public.webhook_destinations TO ringback_operator;

GRANT SELECT ON TABLE public.webhook_forward_notices TO ringback_service;

GRANT SELECT ON TABLE public.webhook_gateway_endpoints TO ringback_tenant;
GRANT SELECT ON TABLE public.webhook_gateway_endpoints TO ringback_service;
GRANT SELECT ON TABLE public.webhook_gateway_endpoints TO ringback_tenant_operator;
GRANT SELECT ON TABLE public.webhook_gateway_endpoints TO ringback_operator;

GRANT INSERT(gateway_instance_id) ON TABLE public.webhook_gateway_ledger TO ringback_gateway;

GRANT INSERT(accepted) ON TABLE public.webhook_gateway_ledger TO ringback_gateway;

GRANT SELECT ON TABLE public.webhook_gateway_refusals TO ringback_tenant;
GRANT SELECT ON TABLE public.webhook_gateway_refusals TO ringback_service;
GRANT SELECT ON TABLE public.webhook_gateway_refusals TO ringback_tenant_operator;
GRANT SELECT ON TABLE public.webhook_gateway_refusals TO ringback_operator;

GRANT SELECT ON TABLE public.webhook_gateways TO ringback_service;
GRANT SELECT ON TABLE public.webhook_gateways TO ringback_operator;

GRANT SELECT(id) ON TABLE public.webhook_gateways TO ringback_tenant;
GRANT SELECT(id) ON TABLE public.webhook_gateways TO ringback_tenant_operator;

GRANT SELECT(host) ON TABLE public.webhook_gateways TO ringback_tenant;
GRANT SELECT(host) ON TABLE public.webhook_gateways TO ringback_tenant_operator;

GRANT SELECT(started_at) ON TABLE public.webhook_gateways TO ringback_tenant;
GRANT SELECT(started_at) ON TABLE public.webhook_gateways TO ringback_tenant_operator;

GRANT SELECT(seen_at) ON TABLE public.webhook_gateways TO ringback_tenant;
GRANT SELECT(seen_at) ON TABLE public.webhook_gateways TO ringback_tenant_operator;

GRANT SELECT,INSERT,UPDATE ON TABLE public.webhook_inbox TO ringback_processor;
GRANT SELECT,INSERT ON TABLE public.webhook_inbox TO ringback_tenant_operator;
GRANT SELECT,INSERT ON TABLE public.webhook_inbox TO ringback_operator;

GRANT UPDATE(delivery_id) ON TABLE public.webhook_inbox TO ringback_tenant_operator;
GRANT UPDATE(delivery_id) ON TABLE public.webhook_inbox TO ringback_operator;

GRANT UPDATE(claimed_at) ON TABLE public.webhook_inbox TO ringback_tenant_operator;
GRANT UPDATE(claimed_at) ON TABLE public.webhook_inbox TO ringback_operator;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.webhook_processors TO ringback_processor;
GRANT SELECT ON TABLE public.webhook_processors TO ringback_tenant;
GRANT SELECT ON TABLE public.webhook_processors TO ringback_service;
GRANT SELECT ON TABLE public.webhook_processors TO ringback_tenant_operator;
GRANT SELECT ON TABLE public.webhook_processors TO ringback_operator;
GRANT SELECT ON TABLE public.webhook_processors TO ringback_metrics;

GRANT INSERT ON TABLE public.webhook_questions TO ringback_gateway;
GRANT SELECT ON TABLE public.webhook_questions TO ringback_tenant;
GRANT SELECT ON TABLE public.webhook_questions TO ringback_service;
GRANT SELECT ON TABLE public.webhook_questions TO ringback_tenant_operator;
GRANT SELECT ON TABLE public.webhook_questions TO ringback_operator;

GRANT SELECT ON TABLE public.webhook_retries TO ringback_tenant;
GRANT SELECT ON TABLE public.webhook_retries TO ringback_service;
GRANT SELECT,INSERT ON TABLE public.webhook_retries TO ringback_tenant_operator;
GRANT SELECT,INSERT ON TABLE public.webhook_retries TO ringback_operator;

GRANT UPDATE(published_at) ON TABLE public.webhook_retries TO ringback_tenant_operator;
GRANT UPDATE(published_at) ON TABLE public.webhook_retries TO ringback_operator;

GRANT UPDATE(leased_until) ON TABLE public.webhook_retries TO ringback_operator;

GRANT SELECT ON TABLE public.webhook_retry_runs TO ringback_tenant;
GRANT SELECT ON TABLE public.webhook_retry_runs TO ringback_service;
GRANT SELECT,INSERT ON TABLE public.webhook_retry_runs TO ringback_tenant_operator;
GRANT SELECT,INSERT ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(state) ON TABLE public.webhook_retry_runs TO ringback_tenant_operator;
GRANT UPDATE(state) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(message) ON TABLE public.webhook_retry_runs TO ringback_tenant_operator;
GRANT UPDATE(message) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(retried) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(completed) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(failed_again) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(skipped) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(unfinished) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(allowed_rate) ON TABLE public.webhook_retry_runs TO ringback_tenant_operator;
GRANT UPDATE(allowed_rate) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE("position") ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(updated_at) ON TABLE public.webhook_retry_runs TO ringback_tenant_operator;
GRANT UPDATE(updated_at) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(ended_at) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(followed_until) ON TABLE public.webhook_retry_runs TO ringback_tenant_operator;
GRANT UPDATE(followed_until) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(lease_owner) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT UPDATE(leased_until) ON TABLE public.webhook_retry_runs TO ringback_operator;

GRANT SELECT ON TABLE public.webhook_stats TO ringback_tenant;
GRANT SELECT ON TABLE public.webhook_stats TO ringback_service;
GRANT SELECT ON TABLE public.webhook_stats TO ringback_tenant_operator;
GRANT SELECT ON TABLE public.webhook_stats TO ringback_operator;

GRANT SELECT ON TABLE public.webhook_stats_deltas TO ringback_tenant;
GRANT SELECT ON TABLE public.webhook_stats_deltas TO ringback_service;
GRANT SELECT ON TABLE public.webhook_stats_deltas TO ringback_tenant_operator;
GRANT SELECT ON TABLE public.webhook_stats_deltas TO ringback_operator;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.webhook_turns TO ringback_processor;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.webhook_waits TO ringback_processor;

GRANT SELECT(delivery_id) ON TABLE public.webhook_waits TO ringback_tenant;
GRANT SELECT(delivery_id) ON TABLE public.webhook_waits TO ringback_service;
GRANT SELECT(delivery_id) ON TABLE public.webhook_waits TO ringback_tenant_operator;
GRANT SELECT(delivery_id) ON TABLE public.webhook_waits TO ringback_operator;

GRANT SELECT(attempt) ON TABLE public.webhook_waits TO ringback_tenant;
GRANT SELECT(attempt) ON TABLE public.webhook_waits TO ringback_service;
GRANT SELECT(attempt) ON TABLE public.webhook_waits TO ringback_tenant_operator;
GRANT SELECT(attempt) ON TABLE public.webhook_waits TO ringback_operator;

GRANT SELECT(org_id) ON TABLE public.webhook_waits TO ringback_tenant;
GRANT SELECT(org_id) ON TABLE public.webhook_waits TO ringback_service;
GRANT SELECT(org_id) ON TABLE public.webhook_waits TO ringback_tenant_operator;
GRANT SELECT(org_id) ON TABLE public.webhook_waits TO ringback_operator;

GRANT SELECT(event_type) ON TABLE public.webhook_waits TO ringback_tenant;
GRANT SELECT(event_type) ON TABLE public.webhook_waits TO ringback_service;
GRANT SELECT(event_type) ON TABLE public.webhook_waits TO ringback_tenant_operator;
GRANT SELECT(event_type) ON TABLE public.webhook_waits TO ringback_operator;

GRANT SELECT(reason) ON TABLE public.webhook_waits TO ringback_tenant;
GRANT SELECT(reason) ON TABLE public.webhook_waits TO ringback_service;
GRANT SELECT(reason),UPDATE(reason) ON TABLE public.webhook_waits TO ringback_tenant_operator;
GRANT SELECT(reason),UPDATE(reason) ON TABLE public.webhook_waits TO ringback_operator;

GRANT SELECT(destination) ON TABLE public.webhook_waits TO ringback_tenant;
GRANT SELECT(destination) ON TABLE public.webhook_waits TO ringback_service;
GRANT SELECT(destination),UPDATE(destination) ON TABLE public.webhook_waits TO ringback_tenant_operator;
GRANT SELECT(destination),UPDATE(destination) ON TABLE public.webhook_waits TO ringback_operator;

GRANT SELECT(order_key) ON TABLE public.webhook_waits TO ringback_tenant;
GRANT SELECT(order_key) ON TABLE public.webhook_waits TO ringback_service;
GRANT SELECT(order_key) ON TABLE public.webhook_waits TO ringback_tenant_operator;
GRANT SELECT(order_key) ON TABLE public.webhook_waits TO ringback_operator;

GRANT UPDATE(cancellation) ON TABLE public.webhook_waits TO ringback_tenant_operator;
GRANT UPDATE(cancellation) ON TABLE public.webhook_waits TO ringback_operator;

GRANT SELECT(due_at) ON TABLE public.webhook_waits TO ringback_tenant;
GRANT SELECT(due_at) ON TABLE public.webhook_waits TO ringback_service;
GRANT SELECT(due_at),UPDATE(due_at) ON TABLE public.webhook_waits TO ringback_tenant_operator;
GRANT SELECT(due_at),UPDATE(due_at) ON TABLE public.webhook_waits TO ringback_operator;

GRANT SELECT(created_at) ON TABLE public.webhook_waits TO ringback_tenant;
GRANT SELECT(created_at) ON TABLE public.webhook_waits TO ringback_service;
GRANT SELECT(created_at) ON TABLE public.webhook_waits TO ringback_tenant_operator;
GRANT SELECT(created_at) ON TABLE public.webhook_waits TO ringback_operator;

GRANT SELECT(leased_until),UPDATE(leased_until) ON TABLE public.webhook_waits TO ringback_tenant_operator;
GRANT SELECT(leased_until),UPDATE(leased_until) ON TABLE public.webhook_waits TO ringback_operator;

GRANT UPDATE(publish_after) ON TABLE public.webhook_waits TO ringback_tenant_operator;
GRANT UPDATE(publish_after) ON TABLE public.webhook_waits TO ringback_operator;
