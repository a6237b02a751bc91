-- A person's decision on a dead letter: put it to work again as a new webhook, or discard it.
--
-- The functions run with the rights of their caller: what a tenant may not see is not there for it.
-- Each is one transaction, so the decision, what follows from it and its line in the audit are all
-- there or all absent.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_retries (
    original     uuid PRIMARY KEY,
    new_id       uuid NOT NULL UNIQUE,
    org_id       uuid NOT NULL,
    actor        text NOT NULL,
    role         text NOT NULL,
    reason       text NOT NULL,
    request_id   uuid,
    received_at  timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz
);

CREATE INDEX webhook_retries_created_at ON webhook_retries (created_at);
CREATE INDEX webhook_retries_unpublished ON webhook_retries (created_at) WHERE published_at IS NULL;

COMMENT ON TABLE webhook_retries IS
    'Which webhook was made from which dead letter, by whom and why. The key makes it one at most.';
COMMENT ON COLUMN webhook_retries.received_at IS
    'When a gateway received the event: that of the first one, also for a retry of a retry.';
COMMENT ON COLUMN webhook_retries.published_at IS
    'When the broker had it on disk. Until then it is published again and again, under its id.';

-- Why nothing can be decided about a webhook: `not_dead`, `already_retried`, `discarded`; null if
-- it waits for a decision.
CREATE FUNCTION webhook_decided(status text, resolution text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN status <> 'dead_letter' THEN 'not_dead'
        WHEN resolution = 'retried' THEN 'already_retried'
        WHEN resolution IS NOT NULL THEN 'discarded'
    END
$$;

-- Whether the log holds all that a message needs. It does not for what no gateway published, and
-- for bytes that were no event and are kept as base64.
CREATE FUNCTION webhook_is_retryable(org_id uuid, gateway_instance_id uuid, event_data jsonb)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT org_id <> '00000000-0000-0000-0000-000000000000' AND gateway_instance_id IS NOT NULL
       AND webhook_has_payload(event_data)
       AND NOT (event_data ? 'unreadable_base64' AND NOT event_data ?| ARRAY['message', 'type'])
$$;

-- One decision on a webhook at a time; the next one waits for the end of this transaction and sees
-- what it did. A lock by name and not on the row: rows of the log are locked last.
CREATE FUNCTION lock_webhook_decision(id uuid) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtext('webhook_decision'), hashtext(id::text))
$$;

-- Puts a dead letter to work again as `p_new_id`. Whoever calls publishes it once this is committed.
--
-- `verdict` is `retried`; `repeated`, when the same request has done it before; or why nothing was
-- done: `not_found`, `not_dead`, `already_retried`, `discarded`, `not_retryable`. The other columns
-- tell of the retry that there is, old or new.
CREATE FUNCTION retry_webhook(
    p_original uuid, p_new_id uuid, p_max_attempts integer,
    p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb
) RETURNS TABLE (verdict text, new_id uuid, altered boolean, published_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    letter webhook_delivery_log%ROWTYPE;
    retry  webhook_retries%ROWTYPE;
    reason_not text;
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_delivery_log WHERE id = p_original) THEN
        RETURN QUERY SELECT 'not_found', NULL::uuid, NULL::boolean, NULL::timestamptz;
        RETURN;
    END IF;
    PERFORM lock_webhook_decision(p_original);
    -- Only now: what was read before the lock may have been decided since.
    SELECT * INTO letter FROM webhook_delivery_log WHERE id = p_original;
    reason_not := webhook_decided(letter.status, letter.resolution);
    IF reason_not = 'already_retried' THEN
        SELECT * INTO retry FROM webhook_retries WHERE original = p_original;
        RETURN QUERY SELECT
            CASE WHEN retry.request_id = p_request_id THEN 'repeated' ELSE reason_not END,
            letter.retried_as, letter.altered, retry.published_at;
        RETURN;
    ELSIF reason_not IS NULL
          AND NOT webhook_is_retryable(letter.org_id, letter.gateway_instance_id, letter.event_data) THEN
        reason_not := 'not_retryable';
    END IF;
    IF reason_not IS NOT NULL THEN
        RETURN QUERY SELECT reason_not, NULL::uuid, NULL::boolean, NULL::timestamptz;
        RETURN;
    END IF;

    INSERT INTO webhook_retries (
        original, new_id, org_id, actor, role, reason, request_id, received_at)
    VALUES (
        p_original, p_new_id, letter.org_id, p_actor, p_role, p_reason, p_request_id,
        coalesce((SELECT received_at FROM webhook_retries WHERE new_id = p_original),
                 letter.created_at));
    PERFORM hand_webhook_claim(letter.org_id, letter.dedup_key, p_original, p_new_id);
    INSERT INTO webhook_delivery_log (
        id, org_id, endpoint_id, event_type, event_data, altered, status, max_attempts,
        created_at, call_id, dedup_key, gateway_instance_id, retry_of)
    VALUES (
        p_new_id, letter.org_id, letter.endpoint_id, letter.event_type, letter.event_data,
        letter.altered, 'pending', p_max_attempts, webhook_created_at(p_new_id), letter.call_id,
        letter.dedup_key, letter.gateway_instance_id, p_original);
    PERFORM resolve_webhook(p_original, 'retried', p_new_id);
    INSERT INTO webhook_audit (actor, role, org_id, action, job_id, reason, details)
    VALUES (p_actor, p_role, letter.org_id, 'retry', p_original, nullif(p_reason, ''),
            p_details || jsonb_build_object('new_job_id', p_new_id));
    RETURN QUERY SELECT 'retried', p_new_id, letter.altered, NULL::timestamptz;
END
$$;

-- The event belongs to the new webhook from now on, or it would end as a duplicate of its original.
-- Where claims were pruned there is none to hand over; where another webhook has claimed the event
-- since, that one keeps it and the retry ends as its duplicate.
CREATE FUNCTION hand_webhook_claim(p_org_id uuid, p_dedup_key text, p_from uuid, p_to uuid)
RETURNS void
LANGUAGE plpgsql AS $$
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

-- Writes a decision to the dead letter itself.
CREATE FUNCTION resolve_webhook(p_id uuid, p_resolution text, p_retried_as uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhook_delivery_log
    SET resolution = p_resolution, resolved_at = clock_timestamp(), retried_as = p_retried_as
    WHERE id = p_id AND status = 'dead_letter' AND resolution IS NULL;
    IF NOT FOUND THEN
        -- Only by hand: whoever decides by these functions holds the lock.
        RAISE EXCEPTION 'the dead letter % was changed meanwhile', p_id
            USING ERRCODE = 'serialization_failure';
    END IF;
END
$$;

-- Resolves a dead letter as not needed. `verdict` is `done`, or why nothing was done: `not_found`,
-- `not_dead`, `already_retried` (`new_id` says as what) or `discarded`.
CREATE FUNCTION discard_webhook(p_id uuid, p_actor text, p_role text, p_reason text)
RETURNS TABLE (verdict text, new_id uuid)
LANGUAGE plpgsql AS $$
DECLARE
    letter     record;
    reason_not text;
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_delivery_log WHERE id = p_id) THEN
        RETURN QUERY SELECT 'not_found', NULL::uuid;
        RETURN;
    END IF;
    PERFORM lock_webhook_decision(p_id);
    SELECT log.org_id, log.status, log.resolution, log.retried_as INTO letter
    FROM webhook_delivery_log AS log WHERE log.id = p_id;
    reason_not := webhook_decided(letter.status, letter.resolution);
    IF reason_not IS NULL THEN
        PERFORM resolve_webhook(p_id, 'discarded', NULL);
        INSERT INTO webhook_audit (actor, role, org_id, action, job_id, reason, details)
        VALUES (p_actor, p_role, letter.org_id, 'discard', p_id, p_reason, '{}');
    END IF;
    RETURN QUERY SELECT coalesce(reason_not, 'done'), letter.retried_as;
END
$$;

-- The unresolved dead letters that match all that is not null, of those with an id after `p_after`
-- and up to `p_until`. Not null are those two alone.
CREATE FUNCTION matching_dead_letters(
    p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text,
    p_created_from timestamptz, p_created_before timestamptz
) RETURNS TABLE (id uuid)
LANGUAGE sql STABLE AS $$
    SELECT log.id FROM webhook_delivery_log AS log
    WHERE log.error_class IS NOT NULL AND log.status = 'dead_letter' AND log.resolution IS NULL
      AND log.id > p_after AND log.id <= p_until
      AND (p_event_type IS NULL OR log.event_type = p_event_type)
      AND (p_error_class IS NULL OR log.error_class = p_error_class)
      AND (p_call_id IS NULL OR log.call_id = p_call_id)
      AND (p_created_from IS NULL OR log.created_at >= p_created_from)
      AND (p_created_before IS NULL OR log.created_at < p_created_before)
$$;

-- Deletes at most `p_most` retries of which the log holds no webhook any more; how many it deleted.
-- With its owner's rights: it is housekeeping, and nobody else deletes here.
CREATE FUNCTION prune_webhook_retries(p_most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    pruned bigint;
BEGIN
    DELETE FROM webhook_retries WHERE original = ANY (ARRAY(
        SELECT original FROM webhook_retries AS retry
        -- Younger ones are in the log: it keeps a webhook for a day at least.
        WHERE created_at < now() - interval '1 day'
          AND NOT EXISTS (SELECT FROM webhook_delivery_log WHERE id = retry.new_id)
          AND NOT EXISTS (SELECT FROM webhook_delivery_log WHERE id = retry.original)
        LIMIT p_most));
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
$$;

REVOKE ALL ON FUNCTION prune_webhook_retries FROM PUBLIC;

-- A retry's payload is what the log held, so its processor finds nothing to alter. The row still
-- says `altered` when the original's did: against the bytes that arrived it is.
DO $$
DECLARE
    changing   text;
    definition text;
BEGIN
    FOREACH changing IN ARRAY ARRAY['move_webhooks', 'record_webhook_dead_letters'] LOOP
        definition := pg_get_functiondef(changing::regproc);
        IF strpos(definition, 'altered = w.altered') = 0 THEN
            RAISE EXCEPTION '% is not as expected', changing;
        END IF;
        EXECUTE replace(definition, 'altered = w.altered', 'altered = log.altered OR w.altered');
    END LOOP;
END
$$;
