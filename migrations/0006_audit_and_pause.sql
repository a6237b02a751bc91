-- What people change and why, whether processors may take work, and which processors there are.

SET LOCAL lock_timeout = '4s';

-- Written in the transaction of the change itself, and then never changed or deleted.
CREATE TABLE webhook_audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor   text NOT NULL,
    role    text NOT NULL,
    org_id  uuid,
    action  text NOT NULL CHECK (action IN (
                'retry', 'bulk_retry', 'bulk_retry_ended', 'discard', 'pause', 'resume')),
    job_id  uuid,
    reason  text,
    details jsonb NOT NULL DEFAULT '{}'
);

COMMENT ON TABLE webhook_audit IS 'Who changed what, when and why. Rows are only added.';
COMMENT ON COLUMN webhook_audit.org_id IS
    'Whose webhook it was; null for what concerns all organisations.';

CREATE TABLE webhook_processing (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    paused     boolean NOT NULL DEFAULT false,
    changed_at timestamptz,
    changed_by text,
    reason     text
);

COMMENT ON TABLE webhook_processing IS 'One row: whether processors take work. Null: never changed.';

INSERT INTO webhook_processing DEFAULT VALUES;

-- Pauses or resumes processing and answers how it stands. Processors that listen to the channel
-- `webhook_processing` hear of it when the caller commits; the others read the row.
--
-- To pause what is paused changes nothing: the row still says who did it, when and why.
CREATE FUNCTION set_webhook_processing(
    p_paused boolean, p_actor text, p_role text, p_reason text
) RETURNS webhook_processing
LANGUAGE plpgsql AS $$
DECLARE
    standing webhook_processing;
BEGIN
    UPDATE webhook_processing
    SET paused = p_paused, changed_at = clock_timestamp(), changed_by = p_actor, reason = p_reason
    WHERE paused <> p_paused
    RETURNING * INTO standing;
    IF NOT FOUND THEN
        SELECT * INTO STRICT standing FROM webhook_processing;
        RETURN standing;
    END IF;

    INSERT INTO webhook_audit (at, actor, role, action, reason)
    VALUES (standing.changed_at, p_actor, p_role,
            CASE WHEN p_paused THEN 'pause' ELSE 'resume' END, p_reason);
    PERFORM pg_notify('webhook_processing', '');
    RETURN standing;
END
$$;

-- Each processor writes its row about once a second and deletes it at its end. A row older than
-- ten seconds is of one that died or cannot reach the database, and is not counted. Unlogged: after
-- a crash of the server the table is empty, and whole again a second later.
CREATE UNLOGGED TABLE webhook_processors (
    id         uuid PRIMARY KEY,
    prefetch   integer NOT NULL CHECK (prefetch > 0),
    in_flight    integer NOT NULL CHECK (in_flight BETWEEN 0 AND prefetch),
    is_paused  boolean NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL
) WITH (fillfactor = 50);

COMMENT ON COLUMN webhook_processors.id IS 'One per life of a process.';
COMMENT ON COLUMN webhook_processors.in_flight IS 'Webhooks taken from the broker and not answered yet.';
COMMENT ON COLUMN webhook_processors.is_paused IS 'Whether it has noticed a pause.';

-- Writes the row of a processor, and deletes what others left behind more than a day ago.
CREATE FUNCTION note_webhook_processor(
    p_id uuid, p_prefetch integer, p_in_flight integer, p_is_paused boolean, p_started_at timestamptz
) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO webhook_processors AS p (id, prefetch, in_flight, is_paused, started_at, seen_at)
    VALUES (p_id, p_prefetch, p_in_flight, p_is_paused, p_started_at, clock_timestamp())
    ON CONFLICT (id) DO UPDATE
    SET in_flight = excluded.in_flight, is_paused = excluded.is_paused, seen_at = excluded.seen_at;

    DELETE FROM webhook_processors WHERE id IN (
        SELECT id FROM webhook_processors WHERE seen_at < clock_timestamp() - interval '1 day'
        FOR UPDATE SKIP LOCKED);
$$;
