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

-- Merges the values of events into their calls. The value of the highest rank stays, so the order of
-- the events does not matter. Equal ranks are decided by the values themselves. The webhooks of
-- `counted` count as events of their call; those of `uncounted` are merged but not counted; all others
-- are ignored.
--
-- A statement can change a row only once, so each round merges one event of each call. Each
-- round locks the calls in the same order, so that commits do not deadlock.
CREATE FUNCTION merge_voice_calls(p_updates json, counted uuid[], uncounted uuid[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    current_round integer := 0;
    rounds        integer;
BEGIN
    LOOP
        current_round := current_round + 1;
        WITH updates AS MATERIALIZED (
            SELECT u.*,
                   row_number() OVER (PARTITION BY u.org_id, u.call_id ORDER BY u.delivery_id) AS round
            FROM json_to_recordset(p_updates) AS u (
                delivery_id uuid, org_id uuid, call_id text, call_type text, status text,
                started_at timestamptz, ended_at timestamptz, ended_reason text,
                duration_seconds double precision, cost double precision, customer_number text,
                assistant_id text, phone_number_id text, summary text, transcript text,
                ranks bigint[], happened_at timestamptz)
            WHERE u.delivery_id = ANY (counted) OR u.delivery_id = ANY (uncounted)
        ), merged AS (
            INSERT INTO voice_calls AS v (
                org_id, call_id, call_type, status, started_at, ended_at, ended_reason,
                duration_seconds, cost, customer_number, assistant_id, phone_number_id, summary,
                transcript, ranks, events, first_event_at, last_event_at)
            SELECT u.org_id, u.call_id, u.call_type, u.status, u.started_at, u.ended_at,
                   u.ended_reason, u.duration_seconds, u.cost, u.customer_number, u.assistant_id,
                   u.phone_number_id, u.summary, u.transcript, u.ranks,
                   (u.delivery_id = ANY (counted))::integer, u.happened_at, u.happened_at
            FROM updates AS u
            WHERE u.round = current_round
            ORDER BY u.org_id, u.call_id
            ON CONFLICT (org_id, call_id) DO UPDATE SET
                call_type = CASE
                        WHEN (excluded.ranks[1], excluded.call_type) > (v.ranks[1], v.call_type COLLATE "C")
                        THEN excluded.call_type ELSE v.call_type END,
                status = CASE
                        WHEN (excluded.ranks[2], excluded.status) > (v.ranks[2], v.status COLLATE "C")
                        THEN excluded.status ELSE v.status END,
                started_at = CASE
                        WHEN (excluded.ranks[3], excluded.started_at) > (v.ranks[3], v.started_at)
                        THEN excluded.started_at ELSE v.started_at END,
                ended_at = CASE
                        WHEN (excluded.ranks[4], excluded.ended_at) > (v.ranks[4], v.ended_at)
                        THEN excluded.ended_at ELSE v.ended_at END,
                ended_reason = CASE
                        WHEN (excluded.ranks[5], excluded.ended_reason) > (v.ranks[5], v.ended_reason COLLATE "C")
                        THEN excluded.ended_reason ELSE v.ended_reason END,
                duration_seconds = CASE
                        WHEN (excluded.ranks[6], excluded.duration_seconds) > (v.ranks[6], v.duration_seconds)
                        THEN excluded.duration_seconds ELSE v.duration_seconds END,
                cost = CASE
                        WHEN (excluded.ranks[7], excluded.cost) > (v.ranks[7], v.cost)
                        THEN excluded.cost ELSE v.cost END,
                customer_number = CASE
                        WHEN (excluded.ranks[8], excluded.customer_number)
                             > (v.ranks[8], v.customer_number COLLATE "C")
                        THEN excluded.customer_number ELSE v.customer_number END,
                assistant_id = CASE
                        WHEN (excluded.ranks[9], excluded.assistant_id) > (v.ranks[9], v.assistant_id COLLATE "C")
                        THEN excluded.assistant_id ELSE v.assistant_id END,
                phone_number_id = CASE
                        WHEN (excluded.ranks[10], excluded.phone_number_id)
                             > (v.ranks[10], v.phone_number_id COLLATE "C")
                        THEN excluded.phone_number_id ELSE v.phone_number_id END,
                summary = CASE
                        WHEN (excluded.ranks[11], excluded.summary) > (v.ranks[11], v.summary COLLATE "C")
                        THEN excluded.summary ELSE v.summary END,
                transcript = CASE
                        WHEN (excluded.ranks[12], excluded.transcript) > (v.ranks[12], v.transcript COLLATE "C")
                        THEN excluded.transcript ELSE v.transcript END,
                ranks = ARRAY(
                    SELECT greatest(rank, merged)
                    FROM unnest(v.ranks, excluded.ranks) AS pair (rank, merged)),
                events = v.events + excluded.events,
                first_event_at = least(v.first_event_at, excluded.first_event_at),
                last_event_at = greatest(v.last_event_at, excluded.last_event_at)
        )
        SELECT max(updates.round) INTO rounds FROM updates;
        EXIT WHEN coalesce(rounds <= current_round, true);
    END LOOP;
END
$$;

REVOKE EXECUTE ON FUNCTION merge_voice_calls FROM PUBLIC;
GRANT EXECUTE ON FUNCTION merge_voice_calls TO ringback_processor;
