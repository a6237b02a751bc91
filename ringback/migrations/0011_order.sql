-- The turns of ordered webhooks, whose handlers are declared with `ordered_by`.
--
-- Of the webhooks of a key, one at a time has the turn. It keeps it until it has ended, also while
-- it waits for a retry. The others are parked: rows of `webhook_waits` with the reason `order`. The
-- transaction that ends a webhook gives its turn to the parked one with the smallest id, or to an
-- earlier one that is on its way: its gateway has written its row, and no processor has received it.
--
-- The row of the turn is locked while a webhook is parked behind it and while the turn is given to
-- another one, so no webhook can be parked behind a turn that has just ended. Several turns are
-- locked in the order of their keys, after the rows of the log.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_turns (
    org_id      uuid NOT NULL,
    order_key   text NOT NULL,
    delivery_id uuid NOT NULL,
    is_late     boolean NOT NULL,
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    checked_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    idle        interval NOT NULL DEFAULT '0',
    ordered_types text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (org_id, order_key)
) WITH (fillfactor = 50);

COMMENT ON TABLE webhook_turns IS
    'One row per key of ordered webhooks that are not finished: which of them may run.';
COMMENT ON COLUMN webhook_turns.is_late IS
    'Later webhooks went on without it. So a failure ends its turn: they need not wait again.';
COMMENT ON COLUMN webhook_turns.idle IS
    'For how long processors have seen nothing of it. Their own downtime does not count.';
COMMENT ON COLUMN webhook_turns.ordered_types IS
    'The event types of the key: those that had an ordered handler when the turn was taken; * is all.';

CREATE INDEX webhook_turns_delivery ON webhook_turns (delivery_id);
CREATE INDEX webhook_waits_order ON webhook_waits (org_id, order_key, delivery_id)
    WHERE order_key IS NOT NULL;

SELECT enable_webhook_row_security('webhook_turns'), create_webhook_policies('webhook_turns');
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_turns TO ringback_processor;

-- Deletes the waits of parked webhooks. It locks them in the order in which all waits are locked.
CREATE FUNCTION delete_order_waits(p_ids uuid[]) RETURNS void
LANGUAGE sql AS $$
    WITH locked AS MATERIALIZED (
        SELECT delivery_id FROM webhook_waits
        WHERE delivery_id = ANY (p_ids) AND reason = 'order'
        ORDER BY delivery_id FOR UPDATE)
    DELETE FROM webhook_waits AS wait USING locked WHERE wait.delivery_id = locked.delivery_id
$$;

-- The first webhook of a key that is on its way before `p_before`, or null. One that a later webhook of
-- the key has passed does not count, so that a lost message stops its call once. Reads one day of the
-- log; planned each time, because only then other days are excluded and the index of the calls is used.
CREATE FUNCTION webhook_on_its_way(
    p_org_id uuid, p_order_key text, p_ordered_types text[], p_before uuid
) RETURNS uuid
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
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

-- Takes the turns of webhooks whose attempts are due; returns those that have to wait for another.
-- A webhook takes the turn of its key if no other one has it and none is on its way before it; that one
-- gets the turn. One whose outcome is recorded neither takes a turn nor has to wait.
CREATE FUNCTION take_webhook_turns(
    p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_order_keys text[],
    p_ordered_types text[]
) RETURNS SETOF uuid
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
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

-- Parks webhooks, all of them or none, behind those that have the turns of their keys. Returns false if
-- one of them has its turn itself by now, or if its outcome is recorded: then nothing is parked.
CREATE FUNCTION park_webhooks(
    p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[],
    p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[],
    p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[],
    p_waits json, p_bodies bytea[], p_order_keys text[], p_ordered_types text[]
) RETURNS boolean
LANGUAGE plpgsql AS $$
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

-- Gives the turn of a key, whose row the caller has locked, to the parked webhook with the smallest
-- id; if `p_waits_for_earlier`, rather to one that is on its way before it. Returns whether a parked one
-- got it; that is due now.
CREATE FUNCTION give_webhook_turn(
    p_org_id uuid, p_order_key text, p_waits_for_earlier boolean
) RETURNS boolean
LANGUAGE plpgsql AS $$
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

-- Ends the turns of webhooks that have ended, or that are late. Returns whether a parked webhook was
-- given one of them.
CREATE FUNCTION end_webhook_turns(p_ids uuid[]) RETURNS boolean
LANGUAGE plpgsql AS $$
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

-- Which of the webhooks of a batch lose their turn by how their attempts ended: all but those that
-- have failed, of which only the late ones do.
CREATE FUNCTION webhooks_without_turn(p_ids uuid[], p_failed uuid[]) RETURNS uuid[]
LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(id), '{}') FROM unnest(p_ids) AS id
    WHERE id <> ALL (p_failed)
       OR EXISTS (SELECT FROM webhook_turns AS turn WHERE turn.delivery_id = id AND turn.is_late)
$$;

-- Looks after the turns; processors call it every few seconds while they consume. It gives on the
-- turn of a webhook
--   - that has ended, though nobody gave its turn on: its handler is no longer declared as ordered;
--   - that no processor has seen for `p_gap`: its retry comes later, or its message is lost;
--   - that has failed, with more than `p_max_parked` webhooks parked behind it.
-- A webhook that waits in PostgreSQL for another reason than a retry keeps its turn.
--
-- A call checks 1,000 turns at most, first those that were checked longest ago. It skips locked ones, so
-- it needs no order of locks.
--
-- Returns the webhooks that others passed, and for how long the longest turn has kept others waiting.
CREATE FUNCTION check_webhook_turns(p_gap interval, p_max_parked integer)
RETURNS TABLE (passed uuid[], longest_stop_s double precision)
LANGUAGE plpgsql AS $$
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

REVOKE EXECUTE ON FUNCTION
    delete_order_waits, webhook_on_its_way, take_webhook_turns, park_webhooks, give_webhook_turn,
    end_webhook_turns, webhooks_without_turn, check_webhook_turns
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    delete_order_waits, webhook_on_its_way, take_webhook_turns, park_webhooks, give_webhook_turn,
    end_webhook_turns, webhooks_without_turn, check_webhook_turns
TO ringback_processor;
