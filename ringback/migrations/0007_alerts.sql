-- Alerts on dead letters: a notice is inserted with each of them, notices are folded into groups,
-- and one process at a time sends messages about the groups.
--
-- A notice commits with its dead letter, so there is neither a notice without one nor the reverse,
-- whichever process dies. A cursor over the log could not do that: a webhook becomes a dead letter
-- long after its id was made, and commits are not in the order of any number.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_dead_letter_notices (
    org_id       uuid NOT NULL,
    event_type   text NOT NULL,
    error_class  text NOT NULL,
    dead_letters integer NOT NULL,
    example      uuid NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
    -- Rows live for a second.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000
);

COMMENT ON TABLE webhook_dead_letter_notices IS
    'How many dead letters of a group one statement recorded. Never updated, only folded.';

CREATE TABLE webhook_alerts (
    org_id       uuid NOT NULL,
    event_type   text NOT NULL,
    error_class  text NOT NULL,
    unsent       bigint NOT NULL,
    sent         bigint NOT NULL DEFAULT 0,
    example      uuid NOT NULL,
    opened_at    timestamptz NOT NULL,
    unsent_since timestamptz,
    last_at      timestamptz NOT NULL,
    sent_at      timestamptz,
    PRIMARY KEY (org_id, event_type, error_class)
) WITH (
    -- Few rows, updated often.
    fillfactor = 50
);

COMMENT ON TABLE webhook_alerts IS
    'Groups of dead letters that people are alerted to, until no more arrive for a while.';
COMMENT ON COLUMN webhook_alerts.example IS 'The newest dead letter of the group.';

CREATE TABLE webhook_alert_lease (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    holder     uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    failures   integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT '-infinity'
);

COMMENT ON TABLE webhook_alert_lease IS
    'Which process may send a message, and until when none may.';
COMMENT ON COLUMN webhook_alert_lease.failures IS 'How many sends have failed in a row.';

CREATE TABLE webhook_forward_notices (
    destination   text PRIMARY KEY,
    org_id        uuid NOT NULL,
    endpoint_id   text NOT NULL,
    forward       text NOT NULL,
    failing_since timestamptz NOT NULL,
    last_error    text NOT NULL,
    stopped_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE webhook_forward_notices IS
    'Forwards that were stopped and not announced yet. Inserted in the transaction that stops one.';

SELECT enable_webhook_row_security(alert_table), create_webhook_policies(alert_table)
FROM unnest(ARRAY['webhook_dead_letter_notices', 'webhook_alerts',
                  'webhook_forward_notices']::regclass[]) AS alert_table;

GRANT INSERT ON webhook_dead_letter_notices TO ringback_processor;
GRANT SELECT ON webhook_alerts, webhook_forward_notices TO ringback_service;

---- Who sends

-- Gives `p_holder` the lease to send one message and returns how many sends have failed in a row.
-- Returns null while another process has it, and while sending is paused.
CREATE FUNCTION acquire_webhook_alert_lease(p_holder uuid, p_lease interval) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO webhook_alert_lease AS lease (holder, expires_at)
    VALUES (p_holder, clock_timestamp() + p_lease)
    ON CONFLICT (singleton) DO UPDATE
    SET holder = excluded.holder, expires_at = excluded.expires_at
    WHERE (lease.holder = p_holder OR lease.expires_at < clock_timestamp())
      AND lease.not_before < clock_timestamp()
    RETURNING failures
$$;

-- Gives the lease back; no process sends for `p_pause`.
CREATE FUNCTION release_webhook_alert_lease(p_holder uuid, p_failures integer, p_pause interval)
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE webhook_alert_lease
    SET expires_at = '-infinity', failures = p_failures,
        not_before = clock_timestamp() + p_pause
    WHERE holder = p_holder
$$;

-- Whether `p_holder` still has the lease. Locks the groups until the transaction ends.
CREATE FUNCTION lock_webhook_alerts(p_holder uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('webhook_alerts'));
    RETURN EXISTS (SELECT FROM webhook_alert_lease
                   WHERE holder = p_holder AND expires_at > clock_timestamp());
END
$$;

---- Groups

-- Moves at most `p_limit` notices into their groups and returns how many, none while another session
-- does; and how many dead letters it dropped, because there are a thousand groups already.
CREATE FUNCTION fold_webhook_dead_letter_notices(
    p_limit integer, OUT moved bigint, OUT dropped bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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

-- Marks so many dead letters of each group as sent. Those that came meanwhile remain unsent. A
-- process that has lost its lease changes nothing: another one has sent them since.
CREATE FUNCTION mark_webhook_alerts_sent(
    p_holder uuid, p_org_ids uuid[], p_event_types text[], p_error_classes text[],
    p_counts bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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

-- Deletes groups, except those that have grown since they were read, when `p_last_ats` were current.
CREATE FUNCTION close_webhook_alerts(
    p_holder uuid, p_org_ids uuid[], p_event_types text[], p_error_classes text[],
    p_last_ats timestamptz[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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

-- Deletes the notices of stopped forwards, except of those that were stopped again since.
CREATE FUNCTION close_webhook_forward_notices(
    p_holder uuid, p_destinations text[], p_stopped_ats timestamptz[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT lock_webhook_alerts(p_holder) THEN
        RETURN;
    END IF;
    DELETE FROM webhook_forward_notices AS notice
    USING unnest(p_destinations, p_stopped_ats) AS w (destination, stopped_at)
    WHERE notice.destination = w.destination AND notice.stopped_at = w.stopped_at;
END
$$;

-- For installations without a channel: deletes at most `p_limit` notices older than ten minutes, and
-- the groups without a dead letter for a day; returns how many notices of dead letters.
CREATE FUNCTION prune_webhook_alerts(p_limit integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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

REVOKE EXECUTE ON FUNCTION
    acquire_webhook_alert_lease, release_webhook_alert_lease, lock_webhook_alerts,
    fold_webhook_dead_letter_notices, mark_webhook_alerts_sent, close_webhook_alerts,
    close_webhook_forward_notices, prune_webhook_alerts
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    acquire_webhook_alert_lease, release_webhook_alert_lease, fold_webhook_dead_letter_notices,
    mark_webhook_alerts_sent, close_webhook_alerts, close_webhook_forward_notices,
    prune_webhook_alerts
TO ringback_metrics;
