-- How an attempt begins and ends in the log.
--
-- Each function takes parallel arrays with one element per webhook in flight, no webhook twice. It
-- is one transaction unless its caller has begun one.
--
-- All of them lock in one order (attempts, claims, new rows of the log, existing rows, waits; each sorted),
-- so that two batches cannot deadlock.
--
-- Their plans are made once per session. With the arrays known, PostgreSQL would plan each call
-- over all partitions, which takes longer than executing it. `id BETWEEN first_id AND last_id`
-- excludes the partitions of other days when a plan is executed.

SET LOCAL lock_timeout = '4s';

---- Steps of the functions below

-- Inserts the rows that the gateway has not written. An existing row is not changed.
CREATE FUNCTION ensure_webhook_rows(
    ids uuid[], org_ids uuid[], endpoint_ids text[], event_types text[], event_data text[],
    altered boolean[], max_attempts integer[], call_ids text[], dedup_keys text[],
    gateway_instance_ids uuid[], retries_of uuid[],
    only_ids uuid[]
) RETURNS void
LANGUAGE sql AS $$
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

-- Claims the events of `only_ids`, and returns those that an earlier webhook owns: these are its
-- duplicates. A webhook without a dedup key owns itself.
--
-- A second statement reads the owners: the first one cannot see a claim committed a moment ago. The
-- settings make it use the index from the start. A plan made while the inbox is nearly empty would
-- read all of it, and would be kept until the table is analysed: at 15,000 claims a webhook took
-- three times as long.
CREATE FUNCTION claim_webhook_events(
    ids uuid[], org_ids uuid[], dedup_keys text[], only_ids uuid[]
) RETURNS TABLE (delivery_id uuid, owner_id uuid)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
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

---- Attempts

-- Begins attempts whose handlers act outside the database: claims the events and sets the status
-- `processing`. Returns for each webhook the outcome to repeat, because this attempt or the webhook
-- is finished already (null: run it), and the webhook of which it is a duplicate.
CREATE FUNCTION begin_webhook_attempts(
    p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[],
    p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[],
    p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[]
) RETURNS TABLE (delivery_id uuid, recorded_outcome text, duplicate_of uuid)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
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

-- Compares duplicates with their first webhooks, marks those that differ, and returns those that are
-- equal. If the first webhook has no payload yet, its duplicate may differ and is not returned. The
-- settings are the same as for claims, for the same reason.
CREATE FUNCTION compare_webhook_duplicates(only_ids uuid[]) RETURNS uuid[]
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
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

-- Ends attempts: inserts the attempts, claims the events, sets the statuses of the webhooks, and
-- merges their values into the calls.
--
-- The row of the attempt is inserted first. If it exists, this is a redelivery: nothing is changed
-- and the recorded outcome is returned, with `is_fresh` false. An event that another webhook owns
-- ends as `duplicate`, whatever its handler did. It changes no call, unless it ends a call (`p_ends`)
-- and may differ from its first webhook. `p_waits` has the waits of failed attempts, as
-- `add_webhook_waits` takes them, and `p_forwards` the forwards of first attempts, as
-- `add_webhook_forwards` does; usually there is none. `p_answers` is for attempts of forwards.
-- `p_ordered` are the ordered webhooks, or null: those that have ended give their turns on.
-- `p_retry_schedules` are those of endpoints with their own, or null if there is none.
CREATE FUNCTION finish_webhook_attempts(
    p_ids uuid[], p_attempts integer[], p_outcomes text[], p_started_at timestamptz[],
    p_ended_at timestamptz[], p_error_classes text[], p_error_messages text[],
    p_trace_ids text[], p_span_ids text[], p_ends uuid[], p_call_updates json,
    p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[],
    p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[],
    p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_wait_bodies bytea[],
    p_answers text[], p_forwards json, p_forward_bodies bytea[], p_ordered uuid[],
    p_retry_schedules text[]
) RETURNS TABLE (
    delivery_id uuid, final_outcome text, is_fresh boolean, duplicate_of uuid,
    has_given_turn boolean)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
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

-- Records dead letters, with their rows if these are missing, and notices for the alerts. Deletes their
-- waits. Without an error of its own, a dead letter keeps that of the last attempt. Returns only the
-- webhooks that became dead letters by this call, so no redelivery and none that was finished before.
CREATE FUNCTION record_webhook_dead_letters(
    p_ids uuid[], p_attempts integer[], p_error_classes text[], p_error_messages text[],
    p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[],
    p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[],
    p_gateway_instance_ids uuid[], p_retries_of uuid[], p_retry_schedules text[]
) RETURNS TABLE (delivery_id uuid, attempts integer, error_class text, error_message text)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
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

---- Attempts whose handlers write in the transaction that finishes them
--
-- A handler can end that transaction and begin another, or change the role or the search path. So
-- the first statement returns the transaction, the role and the search path, and the last one
-- compares them first. A handler could commit what is written in between, so the attempt is recorded
-- as finished only by the last statement.

-- Begins the attempt of one webhook, or of none. Returns what `begin_webhook_attempts` does, and the
-- transaction, role and search path.
--
-- It locks the webhook's row until the transaction ends, and reads only then what another processor
-- may have recorded of this attempt.
CREATE FUNCTION begin_webhook_transaction(
    p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[],
    p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[],
    p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[]
) RETURNS TABLE (
    recorded_outcome text, duplicate_of uuid, transaction_id text, role_name text, search_path text)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
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

-- Calls `finish_webhook_attempts` if transaction, role and search path are the given ones. Otherwise
-- it raises an error that names what was changed.
CREATE FUNCTION finish_webhook_transaction(
    p_transaction_id text, p_role_name text, p_search_path text,
    p_ids uuid[], p_attempts integer[], p_outcomes text[], p_started_at timestamptz[],
    p_ended_at timestamptz[], p_error_classes text[], p_error_messages text[],
    p_trace_ids text[], p_span_ids text[], p_ends uuid[], p_call_updates json,
    p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[],
    p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[],
    p_gateway_instance_ids uuid[], p_retries_of uuid[], p_waits json, p_wait_bodies bytea[],
    p_answers text[], p_forwards json, p_forward_bodies bytea[], p_ordered uuid[],
    p_retry_schedules text[]
) RETURNS TABLE (
    delivery_id uuid, final_outcome text, is_fresh boolean, duplicate_of uuid,
    has_given_turn boolean)
LANGUAGE plpgsql AS $$
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

-- Deallocates the statements that a handler prepared by SQL: the next one may use the same names.
-- Returns the names of those that the driver prepared and continues to use.
CREATE FUNCTION deallocate_prepared_statements() RETURNS SETOF text
LANGUAGE plpgsql AS $$
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

-- The content of an event, to compare duplicates: without the links that Vapi signs each time.
CREATE FUNCTION webhook_content(event_data jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
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

REVOKE EXECUTE ON FUNCTION
    ensure_webhook_rows, claim_webhook_events, begin_webhook_attempts,
    compare_webhook_duplicates, finish_webhook_attempts, record_webhook_dead_letters,
    begin_webhook_transaction, finish_webhook_transaction, deallocate_prepared_statements,
    webhook_content
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    ensure_webhook_rows, claim_webhook_events, begin_webhook_attempts,
    compare_webhook_duplicates, finish_webhook_attempts, record_webhook_dead_letters,
    begin_webhook_transaction, finish_webhook_transaction, deallocate_prepared_statements,
    webhook_content
TO ringback_processor;
