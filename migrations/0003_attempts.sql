-- How an attempt begins and ends in the log. Each function takes parallel arrays, one element per
-- webhook in flight, no webhook twice, and is one transaction unless its caller has begun one.
--
-- Locks are taken in one order everywhere (attempts, claims, new rows of the log, rows that are
-- there; each sorted), so that two batches never wait for each other in a circle.
--
-- Their plans are made once: with the arrays at hand PostgreSQL would plan each call anew, over all
-- partitions, and that takes longer than to execute it. `id BETWEEN first_id AND last_id` then
-- leaves the partitions of other days out when a plan is executed.

SET LOCAL lock_timeout = '4s';

-- A busy gateway writes its pending rows with an empty object for a payload, and whoever ends the
-- attempt puts it in. No event is that small, and the size of a stored value is known unread.
CREATE FUNCTION webhook_has_payload(event_data jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT pg_column_size(event_data) > 8
$$;

-- Inserts the rows that the gateway has not written, or not yet. A row that is there is left as it is.
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
           w.max_attempts, webhook_created_at(w.id), w.call_id, w.dedup_key, w.gateway_instance_id, w.retry_of
    FROM unnest(ids, org_ids, endpoint_ids, event_types, event_data, altered, max_attempts,
                call_ids, dedup_keys, gateway_instance_ids, retries_of)
        AS w (id, org_id, endpoint_id, event_type, event_data, altered, max_attempts,
              call_id, dedup_key, gateway_instance_id, retry_of)
    WHERE w.id = ANY (only_ids)
    ORDER BY w.id
    ON CONFLICT DO NOTHING
$$;

-- Claims each event for the webhook that carries it, and says whose it is: the webhook's own id,
-- or that of an earlier one, of which it is then a duplicate. Without a key, it is its own.
--
-- The owner is read by a second statement: in one, a claim committed a moment ago is not seen.
CREATE FUNCTION claim_webhook_events(ids uuid[], org_ids uuid[], dedup_keys text[])
RETURNS TABLE (delivery_id uuid, owner_id uuid)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
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

-- Begins attempts whose handlers act outside the database: claims the events and notes that they
-- are processing. Answers, per webhook, the outcome that must be repeated because the attempt, or
-- the webhook, is finished already (null: run it), and whose duplicate it is (null: nobody's).
CREATE FUNCTION begin_webhook_attempts(
    p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[],
    p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[],
    p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[]
) RETURNS TABLE (delivery_id uuid, recorded_outcome text, duplicate_of uuid)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
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

-- Ends attempts: writes the attempt, claims the event, and moves the webhook to its status.
--
-- It begins with the attempt's row. Where that stands already the message is a redelivery: nothing
-- is changed and the recorded outcome is answered with `is_fresh` false. An event that another
-- webhook owns ends as `duplicate`, whatever its handler did; the caller then drops its effects.
CREATE FUNCTION finish_webhook_attempts(
    p_ids uuid[], p_attempts integer[], p_outcomes text[], p_started_at timestamptz[],
    p_ended_at timestamptz[], p_error_classes text[], p_error_messages text[],
    p_trace_ids text[], p_span_ids text[],
    p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[],
    p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[],
    p_gateway_instance_ids uuid[], p_retries_of uuid[]
) RETURNS TABLE (delivery_id uuid, final_outcome text, is_fresh boolean, duplicate_of uuid)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
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
            p_max_attempts, p_call_ids, p_dedup_keys, p_gateway_instance_ids, p_retries_of, missing);
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

-- Moves the rows of `only_ids`, which are there, to the status of their attempt.
-- What is finished, or in the dead letters, stays as it is. A row without its payload gets it.
CREATE FUNCTION move_webhooks(
    only_ids uuid[], duplicates uuid[], owners uuid[],
    p_ids uuid[], p_attempts integer[], p_outcomes text[], p_ended_at timestamptz[],
    p_error_classes text[], p_error_messages text[], p_max_attempts integer[],
    p_event_data text[], p_altered boolean[]
) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
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

-- Records dead letters, whether their rows are there or not. Where no error is given, the last
-- attempt's stands for it. Answers which webhooks became dead letters by this call: a redelivery,
-- and a webhook that was finished after all, are not among them.
CREATE FUNCTION record_webhook_dead_letters(
    p_ids uuid[], p_attempts integer[], p_error_classes text[], p_error_messages text[],
    p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[],
    p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[],
    p_gateway_instance_ids uuid[], p_retries_of uuid[]
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
