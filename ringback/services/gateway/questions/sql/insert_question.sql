-- One answered question. Writing it again changes nothing.
INSERT INTO webhook_questions
    (id, org_id, endpoint_id, event_type, call_id, dedup_key, created_at, duration_ms, outcome,
     status, mistakes, question, answer, trace_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT DO NOTHING
