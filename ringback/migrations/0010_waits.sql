-- Webhooks that wait in PostgreSQL for their next attempt, with the messages that processors publish
-- when they are due.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_waits (
    delivery_id  uuid NOT NULL,
    attempt      integer NOT NULL,
    org_id       uuid NOT NULL,
    event_type   text NOT NULL,
    reason       text NOT NULL CHECK (reason IN (
                     'retry', 'destination', 'order', 'forward', 'cancelled')),
    destination  text,
    order_key    text,
    cancellation text,
    due_at       timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    leased_until timestamptz,
    failures     smallint NOT NULL DEFAULT 0,
    publish_after timestamptz,
    headers      json NOT NULL,
    body         bytea NOT NULL,
    -- With the columns that counts read.
    PRIMARY KEY (delivery_id) INCLUDE (attempt, reason)
) WITH (fillfactor = 90);

-- As the payloads of the log, for the same reason.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_settings
               WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE webhook_waits ALTER COLUMN body SET COMPRESSION lz4;
    ELSE
        ALTER TABLE webhook_waits ALTER COLUMN body SET STORAGE EXTERNAL;
    END IF;
END
$$;

COMMENT ON TABLE webhook_waits IS
    'At most one row per webhook, deleted once the broker has confirmed its message. The body is what '
    'arrived, not redacted, as in the broker.';
COMMENT ON COLUMN webhook_waits.attempt IS 'The attempt that is due then.';
COMMENT ON COLUMN webhook_waits.due_at IS
    'When its message is published; infinity until something else releases it.';
COMMENT ON COLUMN webhook_waits.cancellation IS
    'By whom it was cancelled and why: the error message of the dead letter that it becomes.';
COMMENT ON COLUMN webhook_waits.leased_until IS
    'Until then one processor publishes it, and the others skip it.';
COMMENT ON COLUMN webhook_waits.failures IS 'How often its message could not be published.';
COMMENT ON COLUMN webhook_waits.publish_after IS
    'Not before, because it could not be published. It stays due, so its delay stays visible.';

-- What is due, for each destination; and what is due longest.
CREATE INDEX webhook_waits_destination ON webhook_waits ((coalesce(destination, '')), due_at);
CREATE INDEX webhook_waits_due_at ON webhook_waits (due_at, delivery_id);
CREATE INDEX webhook_waits_org ON webhook_waits (org_id, due_at, delivery_id);
-- How many wait for each reason, and since when the oldest is due.
CREATE INDEX webhook_waits_reason ON webhook_waits (reason, due_at);

SELECT enable_webhook_row_security('webhook_waits'), create_webhook_policies('webhook_waits');

-- Only the processor reads body and headers.
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_waits TO ringback_processor;
GRANT SELECT (delivery_id, attempt, org_id, event_type, reason, destination, order_key, due_at,
              created_at)
    ON webhook_waits
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;

-- Adds the waits of `only_ids`: `p_waits` has an object for each, in the order of their bodies.
--
-- A wait that exists stays, unless it is for an earlier attempt, or its message is being published. A
-- cancelled one stays in any case: a copy of its message may have been in flight. The lock on it comes
-- after those on the log.
CREATE FUNCTION add_webhook_waits(p_waits json, p_bodies bytea[], only_ids uuid[]) RETURNS void
LANGUAGE sql AS $$
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

-- Lets webhooks wait for an attempt that was not used. Returns for each the outcome to repeat, if
-- this attempt or the webhook is finished already; null: it waits, or is a dead letter.
CREATE FUNCTION hold_webhooks(
    p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[],
    p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[],
    p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[],
    p_waits json, p_bodies bytea[]
) RETURNS TABLE (delivery_id uuid, recorded_outcome text)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
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

-- Leases waits that are due, `p_count` at most and of about `p_bytes`, for `p_lease`. A destination gets
-- as many as `p_limits` says for its name in `p_destinations`, else `p_first_limit`; waits without a
-- destination have no such limit. So that none waits behind the rows of another, each that may get any
-- gets an equal part of the batch. Rows that another processor has leased, or leases at this moment,
-- are skipped. Waits of webhooks that ended otherwise are deleted.
--
-- The settings make it use the indexes from the start: a plan made while few webhooks wait would read
-- all of them later.
CREATE FUNCTION lease_webhook_waits(
    p_destinations text[], p_limits integer[], p_first_limit integer, p_count integer,
    p_lease interval, p_bytes bigint
) RETURNS TABLE (
    delivery_id uuid, attempt integer, event_type text, reason text, destination text,
    cancellation text, due_at timestamptz, leased_until timestamptz, headers text, body bytea)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
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

-- Deletes at most `batch_size` waits without a time whose webhooks have ended otherwise; returns how
-- many. The others are deleted when they are due.
CREATE FUNCTION prune_webhook_waits(batch_size integer) RETURNS bigint
LANGUAGE plpgsql AS $$
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

REVOKE EXECUTE ON FUNCTION
    add_webhook_waits, hold_webhooks, lease_webhook_waits, prune_webhook_waits
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    add_webhook_waits, hold_webhooks, lease_webhook_waits, prune_webhook_waits
TO ringback_processor;

---- Changes by people

-- Releases or cancels waits (`p_action`): that of `p_id`, or the next `p_limit` that match the filter
-- (null: any reason, any destination). Runs with its caller's rights.
--
-- A cancelled wait is due now, and the processor that publishes it sends it to the dead letters. A
-- wait that is leased is not changed: its message may be at the broker. A lease that is over keeps
-- nobody from a change: its processor died, and while its destination is down, no other one takes it.
-- The lock of a wait is awaited if only one is meant; of many, locked ones are skipped.
--
-- `verdict` is `done`; `repeated` if the same request did it before; or why nothing was done:
-- `not_found`, `not_waiting`, `publishing`, `cancelled`, `in_order`.
CREATE FUNCTION change_webhook_waits(
    p_action text, p_id uuid, p_wait_reason text, p_destination text, p_limit integer,
    p_actor text, p_role text, p_reason text, p_request_id uuid
) RETURNS TABLE (verdict text, changed integer, has_more boolean)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
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

GRANT SELECT (leased_until),
      UPDATE (due_at, publish_after, leased_until, reason, destination, cancellation)
    ON webhook_waits TO ringback_tenant_operator, ringback_operator;
REVOKE EXECUTE ON FUNCTION change_webhook_waits FROM PUBLIC;
GRANT EXECUTE ON FUNCTION change_webhook_waits TO ringback_tenant_operator, ringback_operator;
