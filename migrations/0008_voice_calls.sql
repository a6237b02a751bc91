-- What the built-in handler makes of the events: one row per call.
--
-- Events arrive in any order. Each value has a rank that the processor computes, and the higher rank
-- wins, so the row is the same whatever the order, and no event needs another one before it.

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
    ranks            bigint[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0,0,0,0,0}',
    PRIMARY KEY (org_id, call_id)
);

COMMENT ON COLUMN voice_calls.events IS
    'How many events of the call were processed, each counted once.';
COMMENT ON COLUMN voice_calls.ranks IS
    'How far each value is to be trusted, from call_type to transcript. The higher rank wins.';

SELECT enable_webhook_row_security('voice_calls'), create_webhook_policies('voice_calls');

GRANT SELECT, INSERT, UPDATE ON voice_calls TO ringback_processor;

-- How far a call has come. An unknown status never hides a known one.
CREATE FUNCTION voice_call_progress(status text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_position(
        ARRAY['scheduled', 'queued', 'ringing', 'in-progress', 'forwarding', 'ended'], status), 0)
$$;

REVOKE EXECUTE ON FUNCTION voice_call_progress FROM PUBLIC;
GRANT EXECUTE ON FUNCTION voice_call_progress TO ringback_processor;
