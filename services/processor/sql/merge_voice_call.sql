-- Merge what one event says of its call. Every rule gives the same row whatever the order of events.
INSERT INTO voice_calls AS v (
    org_id, call_id, call_type, status, started_at, ended_at, ended_reason, duration_seconds, cost,
    customer_number, assistant_id, phone_number_id, summary, transcript,
    events, first_event_at, last_event_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 1, $15, $15)
ON CONFLICT (org_id, call_id) DO UPDATE SET
    call_type        = greatest(v.call_type, excluded.call_type),
    status           = CASE
        WHEN v.status IS NULL THEN excluded.status
        WHEN excluded.status IS NULL THEN v.status
        WHEN (voice_call_progress(excluded.status), excluded.status)
             > (voice_call_progress(v.status), v.status) THEN excluded.status
        ELSE v.status END,
    started_at       = least(v.started_at, excluded.started_at),
    ended_at         = greatest(v.ended_at, excluded.ended_at),
    ended_reason     = greatest(v.ended_reason, excluded.ended_reason),
    duration_seconds = greatest(v.duration_seconds, excluded.duration_seconds),
    cost             = greatest(v.cost, excluded.cost),
    customer_number  = greatest(v.customer_number, excluded.customer_number),
    assistant_id     = greatest(v.assistant_id, excluded.assistant_id),
    phone_number_id  = greatest(v.phone_number_id, excluded.phone_number_id),
    summary          = greatest(v.summary, excluded.summary),
    transcript       = greatest(v.transcript, excluded.transcript),
    events           = v.events + 1,
    first_event_at   = least(v.first_event_at, excluded.first_event_at),
    last_event_at    = greatest(v.last_event_at, excluded.last_event_at)
