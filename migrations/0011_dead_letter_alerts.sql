-- What people are told of dead letters: noted where they become such, gathered by group, told by one.
--
-- A notice commits with the dead letter that it tells of, so none is told that is not there and none
-- is forgotten, whoever dies when. A cursor over the log could not do that: a webhook becomes a dead
-- letter long after its id was made, and commits do not come in the order of any number.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_dead_letter_notices (
    org_id      uuid NOT NULL,
    event_type  text NOT NULL,
    error_class text NOT NULL,
    letters     integer NOT NULL,
    example     uuid NOT NULL,
    noted_at    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
    -- Rows live for a second.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000
);

COMMENT ON TABLE webhook_dead_letter_notices IS
    'Which statement made how many dead letters of a group. Never updated, only folded into alerts.';

CREATE TABLE webhook_alerts (
    org_id       uuid NOT NULL,
    event_type   text NOT NULL,
    error_class  text NOT NULL,
    untold       bigint NOT NULL,
    told         bigint NOT NULL DEFAULT 0,
    example      uuid NOT NULL,
    opened_at    timestamptz NOT NULL,
    untold_since timestamptz,
    last_at      timestamptz NOT NULL,
    told_at      timestamptz,
    PRIMARY KEY (org_id, event_type, error_class)
) WITH (
    -- Few rows, updated often.
    fillfactor = 50
);

COMMENT ON TABLE webhook_alerts IS
    'Groups of dead letters of which people hear, from the first one until the group is quiet.';
COMMENT ON COLUMN webhook_alerts.example IS 'The newest dead letter of the group.';

CREATE TABLE webhook_alert_turn (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    holder     uuid NOT NULL,
    held_until timestamptz NOT NULL,
    failures   integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT '-infinity'
);

COMMENT ON TABLE webhook_alert_turn IS
    'Which process sends one message, and until when all of them leave the channel alone.';
COMMENT ON COLUMN webhook_alert_turn.failures IS 'How many sends have failed in a row.';

SELECT close_webhook_table('webhook_dead_letter_notices'),
       share_webhook_table('webhook_dead_letter_notices'),
       close_webhook_table('webhook_alerts'),
       share_webhook_table('webhook_alerts');

-- As before, and what becomes a dead letter is noted.
CREATE OR REPLACE FUNCTION record_webhook_dead_letters(
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
    WITH buried AS (
        UPDATE webhook_delivery_log AS log
        SET status = 'dead_letter',
            event_data = CASE
                WHEN webhook_has_payload(log.event_data) THEN log.event_data
                ELSE w.event_data::jsonb END,
            altered = log.altered OR w.altered,
            attempts = greatest(log.attempts, w.attempt),
            error_class = coalesce(w.error_class, log.error_class, 'unknown'),
            error_message = coalesce(w.error_message, log.error_message, 'No attempt left a reason.')
        FROM unnest(p_ids, p_attempts, p_error_classes, p_error_messages, p_event_data, p_altered)
            AS w (id, attempt, error_class, error_message, event_data, altered)
        WHERE log.id = w.id AND log.id BETWEEN first_id AND last_id
          AND log.status IN ('pending', 'processing', 'failed')
        RETURNING log.id, log.org_id, log.event_type, log.attempts, log.error_class,
                  log.error_message
    ), noted AS (
        INSERT INTO webhook_dead_letter_notices (org_id, event_type, error_class, letters, example)
        -- An error class that a stranger chose may be too long for the key of a group.
        SELECT buried.org_id, buried.event_type, left(buried.error_class, 200), count(*),
               (array_agg(buried.id ORDER BY buried.id DESC))[1]
        FROM buried
        GROUP BY 1, 2, 3
    )
    SELECT buried.id, buried.attempts, buried.error_class, buried.error_message FROM buried;
END
$$;

-- Gives `p_holder` the turn to send one message, for so long: how many sends have failed in a row.
-- Nothing while another one has it, and while the channel is to be left alone.
CREATE FUNCTION take_webhook_alert_turn(p_holder uuid, p_lease interval) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO webhook_alert_turn AS turn (holder, held_until)
    VALUES (p_holder, clock_timestamp() + p_lease)
    ON CONFLICT (only_row) DO UPDATE
    SET holder = excluded.holder, held_until = excluded.held_until
    WHERE (turn.holder = p_holder OR turn.held_until < clock_timestamp())
      AND turn.not_before < clock_timestamp()
    RETURNING failures
$$;

-- Gives the turn back; nobody sends for so long.
CREATE FUNCTION end_webhook_alert_turn(p_holder uuid, p_failures integer, p_pause interval)
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE webhook_alert_turn
    SET held_until = '-infinity', failures = p_failures,
        not_before = clock_timestamp() + p_pause
    WHERE holder = p_holder
$$;

-- Whether it is still `p_holder` who sends. Nobody else changes groups until the transaction ends.
CREATE FUNCTION lock_webhook_alerts(p_holder uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('webhook_alerts'));
    RETURN EXISTS (SELECT FROM webhook_alert_turn
                   WHERE holder = p_holder AND held_until > clock_timestamp());
END
$$;

-- Moves at most `p_most` notices into their groups: how many it moved, none while another one is
-- at it; and how many dead letters it forgot, because there are a thousand groups already.
CREATE FUNCTION fold_webhook_dead_letter_notices(
    p_most integer, OUT moved bigint, OUT forgotten bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    room bigint;
BEGIN
    moved := 0;
    forgotten := 0;
    IF NOT pg_try_advisory_xact_lock(hashtext('webhook_alerts')) THEN
        RETURN;
    END IF;
    room := 1000 - (SELECT count(*) FROM webhook_alerts);
    WITH folded AS (
        DELETE FROM webhook_dead_letter_notices
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM webhook_dead_letter_notices LIMIT p_most))
        RETURNING *
    ), summed AS (
        SELECT org_id, event_type, error_class, sum(letters) AS letters, count(*) AS notices,
               (array_agg(example ORDER BY noted_at DESC, example DESC))[1] AS example,
               min(noted_at) AS first_at, max(noted_at) AS last_at,
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
            org_id, event_type, error_class, untold, example, opened_at, untold_since, last_at)
        SELECT org_id, event_type, error_class, letters, example, first_at, first_at, last_at
        FROM placed
        WHERE has_room
        ON CONFLICT (org_id, event_type, error_class) DO UPDATE
        SET untold = alert.untold + excluded.untold,
            example = excluded.example,
            untold_since = coalesce(alert.untold_since, excluded.untold_since),
            last_at = greatest(alert.last_at, excluded.last_at)
    )
    SELECT coalesce(sum(notices), 0), coalesce(sum(letters) FILTER (WHERE NOT has_room), 0)
    INTO moved, forgotten
    FROM placed;
END
$$;

-- People were told of so many dead letters of each group. Those that came meanwhile stay untold.
-- Whoever has lost its turn changes nothing: another one has told of them since.
CREATE FUNCTION settle_webhook_alerts(
    p_holder uuid, p_org_ids uuid[], p_event_types text[], p_error_classes text[],
    p_letters bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT lock_webhook_alerts(p_holder) THEN
        RETURN;
    END IF;
    UPDATE webhook_alerts AS alert
    SET untold = greatest(alert.untold - w.letters, 0),
        told = alert.told + w.letters,
        -- One time for all that one message told of.
        told_at = now(),
        untold_since = CASE WHEN alert.untold > w.letters THEN alert.last_at END
    FROM unnest(p_org_ids, p_event_types, p_error_classes, p_letters)
        AS w (org_id, event_type, error_class, letters)
    WHERE alert.org_id = w.org_id AND alert.event_type = w.event_type
      AND alert.error_class = w.error_class;
END
$$;

-- Ends groups, but for those that have grown since they were read: `p_last_ats` are as they were.
CREATE FUNCTION end_webhook_alerts(
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

-- Where nobody is to be told: deletes at most `p_most` notices that are older than ten minutes, and
-- the groups that were quiet for a day; how many notices it deleted.
CREATE FUNCTION prune_webhook_alerts(p_most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    pruned bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('webhook_alerts'));
    DELETE FROM webhook_alerts WHERE last_at < now() - interval '1 day';
    DELETE FROM webhook_dead_letter_notices WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM webhook_dead_letter_notices
        WHERE noted_at < now() - interval '10 minutes'
        LIMIT p_most));
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
$$;

REVOKE EXECUTE ON FUNCTION
    take_webhook_alert_turn, end_webhook_alert_turn, lock_webhook_alerts,
    fold_webhook_dead_letter_notices, settle_webhook_alerts, end_webhook_alerts,
    prune_webhook_alerts
FROM PUBLIC;

GRANT INSERT ON webhook_dead_letter_notices TO ringback_processor;
GRANT SELECT ON webhook_alerts TO ringback_service;
GRANT EXECUTE ON FUNCTION
    take_webhook_alert_turn, end_webhook_alert_turn, fold_webhook_dead_letter_notices,
    settle_webhook_alerts, end_webhook_alerts, prune_webhook_alerts
TO ringback_metrics;
