-- Runs a webhook that was taken for a copy of another one: a person may know better.
--
-- The run is a new webhook, as a retry of a dead letter is, and is kept in the same table, so the
-- sweeper publishes it and a second request finds it. It has no dedup key: the other webhook keeps its
-- claim, and the new one cannot end as its duplicate again.

SET LOCAL lock_timeout = '4s';

ALTER TABLE webhook_audit
    DROP CONSTRAINT webhook_audit_action_check,
    ADD CONSTRAINT webhook_audit_action_check CHECK (action IN (
        'retry', 'bulk_retry', 'bulk_retry_ended', 'discard', 'pause', 'resume', 'run_duplicate'));

COMMENT ON TABLE webhook_retries IS
    'Which webhook was made from which dead letter or duplicate, by whom and why. The key makes it '
    'one at most.';

-- As before, and a duplicate can be resolved, too.
CREATE OR REPLACE FUNCTION resolve_webhook(p_id uuid, p_resolution text, p_retried_as uuid)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE webhook_delivery_log
    SET resolution = p_resolution, resolved_at = clock_timestamp(), retried_as = p_retried_as
    WHERE id = p_id AND status IN ('dead_letter', 'duplicate') AND resolution IS NULL;
    IF NOT FOUND THEN
        -- Only by hand: these functions hold the lock of the decision.
        RAISE EXCEPTION 'the webhook % was changed meanwhile', p_id
            USING ERRCODE = 'serialization_failure';
    END IF;
END
$$;

-- Adds the webhook `p_new_id` with the event of `p_original`, resolves the original, and writes the
-- audit. `p_keeps_key`: the new webhook has the dedup key of the original, else none.
CREATE FUNCTION add_webhook_retry(
    p_original uuid, p_new_id uuid, p_keeps_key boolean, p_max_attempts integer,
    p_actor text, p_role text, p_reason text, p_request_id uuid, p_action text, p_details jsonb
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    original webhook_delivery_log%ROWTYPE;
BEGIN
    SELECT * INTO STRICT original FROM webhook_delivery_log WHERE id = p_original;
    IF NOT p_keeps_key THEN
        original.dedup_key := NULL;
    END IF;
    INSERT INTO webhook_retries (
        original, new_id, org_id, actor, role, reason, request_id, received_at)
    VALUES (
        p_original, p_new_id, original.org_id, p_actor, p_role, p_reason, p_request_id,
        coalesce((SELECT received_at FROM webhook_retries WHERE new_id = p_original),
                 original.created_at));
    PERFORM hand_webhook_claim(original.org_id, original.dedup_key, p_original, p_new_id);
    INSERT INTO webhook_delivery_log (
        id, org_id, endpoint_id, event_type, event_data, altered, status, max_attempts,
        created_at, call_id, dedup_key, gateway_instance_id, retry_of)
    VALUES (
        p_new_id, original.org_id, original.endpoint_id, original.event_type, original.event_data,
        original.altered, 'pending', p_max_attempts, webhook_created_at(p_new_id),
        original.call_id, original.dedup_key, original.gateway_instance_id, p_original);
    PERFORM resolve_webhook(p_original, 'retried', p_new_id);
    INSERT INTO webhook_audit (actor, role, org_id, action, job_id, reason, details)
    VALUES (p_actor, p_role, original.org_id, p_action, p_original, nullif(p_reason, ''),
            p_details || jsonb_build_object('new_job_id', p_new_id));
END
$$;

-- As before; what it writes is written by `add_webhook_retry`.
CREATE OR REPLACE FUNCTION retry_webhook(
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
    PERFORM add_webhook_retry(
        p_original, p_new_id, true, p_max_attempts, p_actor, p_role, p_reason, p_request_id,
        'retry', p_details);
    RETURN QUERY SELECT 'retried', p_new_id, letter.altered, NULL::timestamptz;
END
$$;

-- Runs a duplicate after all, as `p_new_id`. The caller publishes it once this is committed.
--
-- The verdicts are those of `retry_webhook`, with `not_duplicate` for `not_dead`. `duplicate_of` is
-- the webhook of which it was taken for a copy.
CREATE FUNCTION run_duplicate_webhook(
    p_original uuid, p_new_id uuid, p_max_attempts integer,
    p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb
) RETURNS TABLE (
    verdict text, new_id uuid, altered boolean, published_at timestamptz, duplicate_of uuid
)
LANGUAGE plpgsql AS $$
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
    -- Only now: what was read before the lock may have been decided since.
    SELECT * INTO original FROM webhook_delivery_log WHERE id = p_original;
    SELECT * INTO run FROM webhook_retries AS retry WHERE retry.original = p_original;
    answer := CASE
        WHEN original.status <> 'duplicate' THEN 'not_duplicate'
        WHEN original.resolution = 'retried' AND run.request_id = p_request_id THEN 'repeated'
        WHEN original.resolution = 'retried' THEN 'already_retried'
        WHEN NOT webhook_is_retryable(original.org_id, original.gateway_instance_id, original.event_data)
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
