-- What people change: pausing the processors, retrying or discarding a dead letter, running a
-- duplicate after all, replaying a completed webhook, and releasing or cancelling a waiting one. Each
-- change is one transaction with its row in the audit log.
--
-- The functions run with their caller's rights: a webhook that a tenant may not see does not exist
-- for it.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor   text NOT NULL,
    role    text NOT NULL,
    org_id  uuid,
    action  text NOT NULL CHECK (action IN (
                'retry', 'bulk_retry', 'bulk_retry_paused', 'bulk_retry_resumed',
                'bulk_retry_stopped', 'bulk_retry_ended', 'replay', 'discard', 'pause', 'resume',
                'run_duplicate', 'set_destination', 'release_wait', 'cancel_wait')),
    job_id  uuid,
    reason  text,
    details jsonb NOT NULL DEFAULT '{}',
    request_id uuid
);

CREATE INDEX webhook_audit_request_id ON webhook_audit (request_id) WHERE request_id IS NOT NULL;
-- The newest changes: all, and of an org, an action, an actor or a webhook.
CREATE INDEX webhook_audit_at ON webhook_audit (at, id);
CREATE INDEX webhook_audit_org ON webhook_audit (org_id, at, id) WHERE org_id IS NOT NULL;
CREATE INDEX webhook_audit_action ON webhook_audit (action, at, id);
CREATE INDEX webhook_audit_actor ON webhook_audit (actor, at, id);
CREATE INDEX webhook_audit_job_id ON webhook_audit (job_id) WHERE job_id IS NOT NULL;

COMMENT ON TABLE webhook_audit IS 'Who changed what, when and why. Rows are only added.';
COMMENT ON COLUMN webhook_audit.org_id IS
    'The org of the webhook; null for a change that affects all orgs.';
COMMENT ON COLUMN webhook_audit.request_id IS
    'Of a released or cancelled wait: a request with this id that is repeated changes nothing.';

---- Pause

CREATE TABLE webhook_processing (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    paused     boolean NOT NULL DEFAULT false,
    changed_at timestamptz,
    changed_by text,
    reason     text
);

COMMENT ON TABLE webhook_processing IS
    'One row: whether processing is paused. changed_at is null if it never was.';

INSERT INTO webhook_processing DEFAULT VALUES;

-- Pauses or resumes processing and returns the row. Processors listen to the channel
-- `webhook_processing`, and read the row when they cannot.
--
-- Pausing twice changes nothing: the row keeps who paused first, when and why.
CREATE FUNCTION set_webhook_processing(
    p_paused boolean, p_actor text, p_role text, p_reason text
) RETURNS webhook_processing
LANGUAGE plpgsql AS $$
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

-- Each processor upserts its row about once a second and deletes it when it stops. A row older than
-- ten seconds is not counted: its processor died or cannot reach the database. Unlogged: after a
-- crash of the server the table is empty, and a second later it is complete.
CREATE UNLOGGED TABLE webhook_processors (
    id         uuid PRIMARY KEY,
    in_flight  integer NOT NULL CHECK (in_flight >= 0),
    is_paused  boolean NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    destinations jsonb NOT NULL DEFAULT '[]'
) WITH (fillfactor = 50);

COMMENT ON COLUMN webhook_processors.id IS 'One id per run of a process.';
COMMENT ON COLUMN webhook_processors.in_flight IS
    'Webhooks received from the broker and not yet acknowledged or rejected.';
COMMENT ON COLUMN webhook_processors.is_paused IS 'Whether it has noticed a pause.';
COMMENT ON COLUMN webhook_processors.destinations IS
    'The services that its handlers call, each with the state of its breaker.';

-- Writes the row of a processor, and deletes rows that were left more than a day ago.
CREATE FUNCTION record_webhook_heartbeat(
    p_id uuid, p_in_flight integer, p_is_paused boolean, p_started_at timestamptz,
    p_destinations jsonb
) RETURNS void
LANGUAGE sql AS $$
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

---- Destinations: services that handlers call

CREATE TABLE webhook_destinations (
    name         text PRIMARY KEY,
    forced_state text CHECK (forced_state IN ('closed', 'half_open', 'open')),
    changed_at   timestamptz NOT NULL,
    changed_by   text NOT NULL,
    reason       text
);

COMMENT ON TABLE webhook_destinations IS
    'The destinations whose breakers a person has forced into a state. Null: no longer.';

-- Keeps the breakers of a destination in a state; null lets them change by themselves again.
-- Processors listen to the channel `webhook_destinations`, and read the table when they cannot.
--
-- The same state twice changes nothing: the row keeps who set it first, when and why. Returns whether
-- a processor or a row has the name; if not, nothing was changed.
CREATE FUNCTION set_webhook_destination(
    p_name text, p_forced_state text, p_actor text, p_role text, p_reason text
) RETURNS boolean
LANGUAGE plpgsql AS $$
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

---- Retries of dead letters, runs of duplicates, and replays of completed webhooks

CREATE TABLE webhook_retries (
    original     uuid PRIMARY KEY,
    new_id       uuid NOT NULL UNIQUE,
    org_id       uuid NOT NULL,
    actor        text NOT NULL,
    role         text NOT NULL,
    reason       text NOT NULL,
    request_id   uuid,
    run_id       uuid,
    received_at  timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz,
    leased_until timestamptz
);

CREATE INDEX webhook_retries_created_at ON webhook_retries (created_at);
CREATE INDEX webhook_retries_run_id ON webhook_retries (run_id, new_id) WHERE run_id IS NOT NULL;
CREATE INDEX webhook_retries_unpublished ON webhook_retries (created_at) WHERE published_at IS NULL;

COMMENT ON TABLE webhook_retries IS
    'Which webhook retries which dead letter, duplicate or completed webhook, who asked for it and '
    'why. At most one each, by the primary key.';
COMMENT ON COLUMN webhook_retries.run_id IS 'The retry run that made it; null if it was made alone.';
COMMENT ON COLUMN webhook_retries.received_at IS
    'When a gateway received the event. A retry of a retry keeps the time of the first webhook.';
COMMENT ON COLUMN webhook_retries.published_at IS
    'When the broker confirmed it. Until then the sweeper publishes it again, under the same id.';
COMMENT ON COLUMN webhook_retries.leased_until IS
    'Until then one sweeper publishes this retry, and the others skip it.';

SELECT enable_webhook_row_security(command_table), create_webhook_policies(command_table)
FROM unnest(ARRAY['webhook_audit', 'webhook_retries']::regclass[]) AS command_table;

-- One decision on a webhook at a time; the next one waits until this transaction ends and sees its
-- result. An advisory lock, not a row lock: rows of the log are locked last.
CREATE FUNCTION lock_webhook_decision(id uuid) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtext('webhook_decision'), hashtext(id::text))
$$;

-- Why a dead letter cannot be retried or discarded: `not_dead`, `already_retried`, `discarded`; null
-- if it can.
CREATE FUNCTION webhook_resolution_conflict(status text, resolution text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN status <> 'dead_letter' THEN 'not_dead'
        WHEN resolution = 'retried' THEN 'already_retried'
        WHEN resolution IS NOT NULL THEN 'discarded'
    END
$$;

-- Whether the log has everything that a message needs. It does not for webhooks that no gateway
-- published, and for bytes that were no event and are kept as base64.
CREATE FUNCTION webhook_is_retryable(org_id uuid, gateway_instance_id uuid, event_data jsonb)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT org_id <> '00000000-0000-0000-0000-000000000000' AND gateway_instance_id IS NOT NULL
       AND webhook_has_payload(event_data)
       AND NOT (event_data ? 'unreadable_base64' AND NOT event_data ?| ARRAY['message', 'type'])
$$;

-- Transfers the claim on an event to the new webhook, which would otherwise end as a duplicate of
-- its original. A pruned claim is made again. If another webhook has claimed the event since, that
-- one keeps it and the retry ends as its duplicate.
CREATE FUNCTION transfer_webhook_claim(p_org_id uuid, p_dedup_key text, p_from uuid, p_to uuid)
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

-- Writes the decision to the webhook itself.
CREATE FUNCTION resolve_webhook(p_id uuid, p_resolution text, p_retried_as uuid)
RETURNS void
LANGUAGE plpgsql AS $$
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

-- Adds the webhook `p_new_id` with the event of `p_original`, resolves the original, and writes the
-- audit. `p_keep_dedup_key`: whether the new webhook has the dedup key of the original.
-- `p_max_attempts` applies if the original had no retry schedule of its own. `p_details` has the id of
-- the retry run as `run`, if there is one.
CREATE FUNCTION add_webhook_retry(
    p_original uuid, p_new_id uuid, p_keep_dedup_key boolean, p_max_attempts integer,
    p_actor text, p_role text, p_reason text, p_request_id uuid, p_action text, p_details jsonb
) RETURNS void
LANGUAGE plpgsql AS $$
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

-- Retries a dead letter as `p_new_id`. The caller publishes it after committing.
--
-- `verdict` is `retried`; `repeated` if the same request did it before; or why nothing was done:
-- `not_found`, `not_dead`, `already_retried`, `discarded`, `not_retryable`. The other columns
-- describe the retry, new or existing.
CREATE FUNCTION retry_webhook(
    p_original uuid, p_new_id uuid, p_max_attempts integer,
    p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb
) RETURNS TABLE (verdict text, new_id uuid, altered boolean, published_at timestamptz)
LANGUAGE plpgsql AS $$
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

-- Runs a duplicate after all, as `p_new_id`: it may not have been a copy. The caller publishes it
-- after committing. The other webhook keeps the claim and the new one has no dedup key, so it cannot
-- end as a duplicate again.
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

-- Runs a completed webhook once more, as `p_new_id`. The caller publishes it after committing. Like
-- the run of a duplicate it has no dedup key, so that it does not end as a duplicate.
--
-- The verdicts are those of `retry_webhook`, with `not_completed` for `not_dead`. A forward is not
-- retryable: its receiver has had it.
CREATE FUNCTION replay_webhook(
    p_original uuid, p_new_id uuid, p_max_attempts integer,
    p_actor text, p_role text, p_reason text, p_request_id uuid, p_details jsonb
) RETURNS TABLE (verdict text, new_id uuid, altered boolean, published_at timestamptz)
LANGUAGE plpgsql AS $$
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

-- Resolves a dead letter as not needed. `verdict` is `done`, or why nothing was done: `not_found`,
-- `not_dead`, `already_retried` (as `new_id`) or `discarded`.
CREATE FUNCTION discard_webhook(p_id uuid, p_actor text, p_role text, p_reason text)
RETURNS TABLE (verdict text, new_id uuid)
LANGUAGE plpgsql AS $$
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

-- The unresolved dead letters that match every parameter that is not null, with an id after
-- `p_after` and up to `p_until`, which are never null.
CREATE FUNCTION matching_dead_letters(
    p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text,
    p_created_from timestamptz, p_created_before timestamptz
) RETURNS TABLE (id uuid, event_type text, error_class text, altered boolean)
LANGUAGE sql STABLE AS $$
    SELECT log.id, log.event_type, log.error_class, log.altered FROM webhook_delivery_log AS log
    WHERE log.is_unresolved
      AND log.id > p_after AND log.id <= p_until
      AND (p_event_type IS NULL OR log.event_type = p_event_type)
      AND (p_error_class IS NULL OR log.error_class = p_error_class)
      AND (p_call_id IS NULL OR log.call_id = p_call_id)
      AND (p_created_from IS NULL OR log.created_at >= p_created_from)
      AND (p_created_before IS NULL OR log.created_at < p_created_before)
$$;

-- The metrics service counts dead letters without the right to see a webhook.
CREATE FUNCTION count_unresolved_dead_letters() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FROM webhook_delivery_log WHERE is_unresolved
$$;

-- Deletes at most `p_limit` retries whose webhooks are no longer in the log; returns how many. With
-- its owner's rights, because no role may delete here.
CREATE FUNCTION prune_webhook_retries(p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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

---- Rights

GRANT SELECT ON webhook_audit, webhook_retries
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;
GRANT SELECT ON webhook_destinations
    TO ringback_processor, ringback_service, ringback_operator;
GRANT INSERT, UPDATE (forced_state, changed_at, changed_by, reason)
    ON webhook_destinations TO ringback_operator;
GRANT SELECT ON webhook_processing, webhook_processors
    TO ringback_processor, ringback_tenant, ringback_service, ringback_tenant_operator,
       ringback_operator, ringback_metrics;
GRANT INSERT, UPDATE, DELETE ON webhook_processors TO ringback_processor;
GRANT INSERT ON webhook_audit TO ringback_tenant_operator, ringback_operator;
GRANT INSERT, UPDATE (published_at)
    ON webhook_retries TO ringback_tenant_operator, ringback_operator;
GRANT UPDATE (leased_until) ON webhook_retries TO ringback_operator;
-- A pause affects all orgs.
GRANT UPDATE (paused, changed_at, changed_by, reason) ON webhook_processing TO ringback_operator;

REVOKE EXECUTE ON FUNCTION
    set_webhook_processing, set_webhook_destination, record_webhook_heartbeat, lock_webhook_decision,
    webhook_resolution_conflict, webhook_is_retryable, transfer_webhook_claim, resolve_webhook,
    add_webhook_retry, retry_webhook, run_duplicate_webhook, replay_webhook, discard_webhook,
    matching_dead_letters, count_unresolved_dead_letters, prune_webhook_retries
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION set_webhook_processing, set_webhook_destination TO ringback_operator;
GRANT EXECUTE ON FUNCTION record_webhook_heartbeat TO ringback_processor;
GRANT EXECUTE ON FUNCTION
    lock_webhook_decision, webhook_resolution_conflict, webhook_is_retryable,
    transfer_webhook_claim, resolve_webhook, add_webhook_retry, retry_webhook,
    run_duplicate_webhook, replay_webhook, discard_webhook
TO ringback_tenant_operator, ringback_operator;
GRANT EXECUTE ON FUNCTION matching_dead_letters
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;
GRANT EXECUTE ON FUNCTION count_unresolved_dead_letters, prune_webhook_retries
    TO ringback_metrics;
