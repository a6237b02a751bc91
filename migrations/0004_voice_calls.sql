-- What the built-in handler makes of the events: one row per call.
--
-- Events arrive in any order. Every column merges by a rule that gives the same row whatever the
-- order is, so the upsert needs no event to have come before another.

SET LOCAL lock_timeout = '4s';

CREATE TABLE voice_calls (
    org_id           uuid NOT NULL,
    call_id          text NOT NULL,
    call_type        text,
    status           text,
    started_at       timestamptz,
    ended_at         timestamptz,
    ended_reason     text,
    duration_seconds double precision,
    cost             double precision,
    customer_number  text,
    assistant_id     text,
    phone_number_id  text,
    summary          text,
    transcript       text,
    events           integer NOT NULL DEFAULT 0,
    first_event_at   timestamptz NOT NULL,
    last_event_at    timestamptz NOT NULL,
    PRIMARY KEY (org_id, call_id)
);

COMMENT ON COLUMN voice_calls.events IS 'How many events of the call were processed, each counted once.';

-- The further a call has come, the higher. An unknown word never hides a known one.
CREATE FUNCTION voice_call_progress(status text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_position(
        ARRAY['scheduled', 'queued', 'ringing', 'in-progress', 'forwarding', 'ended'], status), 0)
$$;
