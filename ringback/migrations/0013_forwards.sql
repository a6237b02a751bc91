-- Forwards: webhooks that send a received webhook to a URL. Each is a row of the log.

SET LOCAL lock_timeout = '4s';

-- The id of the webhook that forwards `received`. It has the same time, so both are in one day. Anyone
-- who computes it gets the same id, so that each forward of a webhook is added once.
CREATE FUNCTION webhook_forward_id(received uuid, forward text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (left(received::text, 14) || '7' || substr(digest, 1, 3) || '-8' || substr(digest, 4, 3)
            || '-' || substr(digest, 7, 12))::uuid
    FROM encode(sha256(convert_to(received::text || '/' || forward, 'UTF8')), 'hex') AS digest
$$;

-- The first and the last id that a forward of `received` can have.
CREATE FUNCTION webhook_forwards_from(received uuid) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (left(received::text, 14) || '7000-8000-000000000000')::uuid
$$;

CREATE FUNCTION webhook_forwards_to(received uuid) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (left(received::text, 14) || '7fff-8fff-ffffffffffff')::uuid
$$;

-- The webhook that a gateway received: this one, or the first one that it retries.
CREATE FUNCTION webhook_received_as(id uuid) RETURNS uuid
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE retried AS (
        SELECT $1 AS id, (SELECT log.retry_of FROM webhook_delivery_log AS log WHERE log.id = $1)
            AS before
        UNION ALL
        SELECT retried.before,
               (SELECT log.retry_of FROM webhook_delivery_log AS log WHERE log.id = retried.before)
        FROM retried WHERE retried.before IS NOT NULL
    )
    SELECT retried.id FROM retried WHERE retried.before IS NULL
$$;

-- Adds the forwards of received webhooks, each with the wait that publishes its message at once.
-- `p_forwards` has an object for each, in the order of their bodies. Only those of `only_ids` are
-- added, which are first attempts that are no duplicates.
--
-- A forward that exists is not added again. A retry adds the forwards of the webhook that a gateway
-- received, if that one has none: it was a duplicate, or crashed its processor. If its row is gone,
-- so are its forwards, and nothing is added.
CREATE FUNCTION add_webhook_forwards(p_forwards json, p_bodies bytea[], only_ids uuid[])
RETURNS void
LANGUAGE sql AS $$
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

---- Forwards that only fail

CREATE TABLE webhook_failing_forwards (
    destination   text PRIMARY KEY,
    failing_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    reports       integer NOT NULL DEFAULT 1
);

COMMENT ON TABLE webhook_failing_forwards IS
    'Destinations of forwards that have not succeeded since. Processors report once a minute.';

-- Records which destinations succeeded and which failed in the last minute. One that has only failed
-- for `p_stopped_after`, in ten reports or more, and since a person changed its state, is forced open:
-- nothing is sent there until a person ends that. Returns those that this call has stopped; a notice
-- of each commits with it. `p_failed` has an object for each destination, with its last error.
--
-- With its owner's rights, because processors may not force destinations otherwise.
CREATE FUNCTION record_webhook_forward_outcomes(
    p_succeeded text[], p_failed json, p_stopped_after interval
) RETURNS TABLE (destination text, failing_since timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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

REVOKE EXECUTE ON FUNCTION
    record_webhook_forward_outcomes,
    webhook_forward_id, webhook_forwards_from, webhook_forwards_to, webhook_received_as,
    add_webhook_forwards
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    record_webhook_forward_outcomes,
    webhook_forward_id, webhook_forwards_from, webhook_forwards_to, webhook_received_as,
    add_webhook_forwards
TO ringback_processor;
GRANT EXECUTE ON FUNCTION webhook_forwards_from, webhook_forwards_to, webhook_received_as
TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;
