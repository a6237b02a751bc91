-- Merge the values of one event into its call. The value of the highest rank stays, so the order of
-- the events does not matter. Equal ranks are decided by the values themselves.
INSERT INTO voice_calls AS v (
    org_id, call_id, call_type, status, started_at, ended_at, ended_reason, duration_seconds, cost,
    customer_number, assistant_id, phone_number_id, summary, transcript, ranks,
    events, first_event_at, last_event_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
        $17, coalesce($18, $16::timestamptz), coalesce($18, $16::timestamptz))
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
        SELECT greatest(rank, merged) FROM unnest(v.ranks, excluded.ranks) AS pair (rank, merged)),
    events = v.events + $17,
    first_event_at = least(v.first_event_at, $18),
    last_event_at = greatest(v.last_event_at, $18)
