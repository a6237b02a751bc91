-- Questions: events for which Vapi waited for an answer. They are in no queue and are never tried
-- again, so they have no row in the delivery log and count in no statistics.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_questions (
    id          uuid PRIMARY KEY,
    org_id      uuid NOT NULL,
    endpoint_id text NOT NULL,
    event_type  text NOT NULL,
    call_id     text,
    dedup_key   text,
    created_at  timestamptz NOT NULL,
    duration_ms double precision NOT NULL,
    outcome     text NOT NULL,
    status      integer NOT NULL,
    mistakes    text[] NOT NULL,
    question    jsonb,
    answer      jsonb,
    trace_id    text
);

COMMENT ON TABLE webhook_questions IS 'One row per question that was asked, with its answer.';
COMMENT ON COLUMN webhook_questions.outcome IS
    '`answered` if a backend gave the answer, otherwise why the fallback was used.';
COMMENT ON COLUMN webhook_questions.mistakes IS 'What Vapi does not understand in the answer.';
COMMENT ON COLUMN webhook_questions.answer IS 'What Vapi got; null if it is not JSON, as speech.';

CREATE INDEX webhook_questions_org ON webhook_questions (org_id, id);
CREATE INDEX webhook_questions_call ON webhook_questions (call_id, org_id)
    WHERE call_id IS NOT NULL;

SELECT enable_webhook_row_security('webhook_questions'),
       create_webhook_policies('webhook_questions');

GRANT INSERT ON webhook_questions TO ringback_gateway;
CREATE POLICY answered_questions ON webhook_questions FOR INSERT TO ringback_gateway
    WITH CHECK (true);
GRANT SELECT ON webhook_questions
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;

-- Deletes one batch of the questions older than the retention; returns how many. Ids begin with
-- their time, so the primary key finds the oldest.
CREATE FUNCTION prune_webhook_questions(retention_days integer, batch_size integer)
RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH deleted AS (
        DELETE FROM webhook_questions
        WHERE id IN (SELECT id FROM webhook_questions
                     WHERE id < webhook_id_at(now() - make_interval(days => retention_days))
                     ORDER BY id LIMIT batch_size)
        RETURNING 1
    )
    SELECT count(*) FROM deleted
$$;

REVOKE EXECUTE ON FUNCTION prune_webhook_questions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prune_webhook_questions TO ringback_processor;
