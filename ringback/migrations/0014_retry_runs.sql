-- Retry runs: bulk retries of dead letters, and replays of completed webhooks. A replica of the metrics
-- service works on each under a lease, so that it continues after a restart.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_retry_runs (
    id                  uuid PRIMARY KEY,
    org_id              uuid,
    kind                text NOT NULL CHECK (kind IN ('dead_letters', 'completed')),
    event_type          text,
    error_class         text,
    call_id             text,
    start_time          timestamptz,
    end_time            timestamptz,
    include_replays     boolean NOT NULL,
    max_retries         integer NOT NULL,
    rate_per_second     double precision NOT NULL,
    stop_after_failures integer NOT NULL,
    actor               text NOT NULL,
    role                text NOT NULL,
    reason              text NOT NULL,
    request_id          uuid,
    state               text NOT NULL DEFAULT 'running' CHECK (state IN (
                            'running', 'held', 'paused', 'stopping', 'finished', 'stopped',
                            'failed')),
    message             text NOT NULL DEFAULT 'Waiting for its turn.',
    matched             bigint NOT NULL,
    matched_is_minimum  boolean NOT NULL,
    retried             bigint NOT NULL DEFAULT 0,
    completed           bigint NOT NULL DEFAULT 0,
    failed_again        bigint NOT NULL DEFAULT 0,
    skipped             bigint NOT NULL DEFAULT 0,
    unfinished          bigint NOT NULL DEFAULT 0,
    allowed_rate        double precision NOT NULL DEFAULT 0,
    position            uuid NOT NULL,
    until_id            uuid NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at            timestamptz,
    followed_until      timestamptz,
    lease_owner         uuid,
    leased_until        timestamptz
);

CREATE UNIQUE INDEX webhook_retry_runs_request_id ON webhook_retry_runs (actor, request_id)
    WHERE request_id IS NOT NULL;
CREATE INDEX webhook_retry_runs_active ON webhook_retry_runs (id) WHERE ended_at IS NULL;

-- The few webhooks of one org that a run of all orgs has created.
CREATE INDEX webhook_retries_org_run ON webhook_retries (org_id, run_id, new_id)
    WHERE run_id IS NOT NULL;

COMMENT ON TABLE webhook_retry_runs IS
    'Runs that retry many webhooks: what they retry, for whom, and how far they are.';
COMMENT ON COLUMN webhook_retry_runs.org_id IS
    'The only org whose webhooks it retries; null for all orgs.';
COMMENT ON COLUMN webhook_retry_runs.position IS
    'Webhooks up to this id are done. Those after until_id arrived later, and are not retried.';
COMMENT ON COLUMN webhook_retry_runs.followed_until IS
    'Of RetryDeliveries: the run stops at this time, unless its caller, still connected, moves it. '
    'Null: it runs without a caller.';
COMMENT ON COLUMN webhook_retry_runs.leased_until IS
    'Until then the replica lease_owner works on it, and the others do not.';

SELECT enable_webhook_row_security('webhook_retry_runs'),
       create_webhook_policies('webhook_retry_runs');

-- Completed webhooks that can be replayed and match every parameter that is not null, with an id after
-- `p_after` and up to `p_until`. Without `p_include_replays`, those that are replays are left out.
-- The range of orgs is for the planner, as in the queries of the log.
CREATE FUNCTION matching_completed_webhooks(
    p_after uuid, p_until uuid, p_event_type text, p_error_class text, p_call_id text,
    p_created_from timestamptz, p_created_before timestamptz, p_include_replays boolean,
    p_first_org uuid, p_last_org uuid
) RETURNS TABLE (id uuid, event_type text, error_class text, altered boolean)
LANGUAGE sql STABLE AS $$
    SELECT log.id, log.event_type, log.error_class, log.altered
    FROM webhook_delivery_log AS log
    WHERE log.status = 'completed' AND log.resolution IS NULL AND log.forward IS NULL
      AND log.id > p_after AND log.id <= p_until
      AND log.org_id BETWEEN p_first_org AND p_last_org
      AND log.event_type = p_event_type
      AND (p_error_class IS NULL OR log.error_class = p_error_class)
      AND (p_call_id IS NULL OR log.call_id = p_call_id)
      AND (p_created_from IS NULL OR log.created_at >= p_created_from)
      AND (p_created_before IS NULL OR log.created_at < p_created_before)
      AND (p_include_replays OR log.retry_of IS NULL OR NOT EXISTS (
          SELECT FROM webhook_delivery_log AS replayed
          WHERE replayed.id = log.retry_of AND replayed.status = 'completed'))
$$;

-- Pauses (`paused`), resumes (`running`) or stops (`stopping`) a run that has not ended. Returns its
-- state before; null if there is no such run. The same change twice changes nothing.
CREATE FUNCTION change_webhook_retry_run(
    p_id uuid, p_state text, p_message text, p_actor text, p_role text, p_reason text
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    run record;
BEGIN
    SELECT r.state, r.org_id INTO run FROM webhook_retry_runs AS r WHERE r.id = p_id FOR UPDATE;
    IF (CASE p_state
        WHEN 'running' THEN run.state = 'paused'
        WHEN 'paused' THEN run.state IN ('running', 'held')
        ELSE run.state IN ('running', 'held', 'paused')
    END) THEN
        UPDATE webhook_retry_runs
        SET state = p_state, message = p_message, allowed_rate = 0, updated_at = clock_timestamp()
        WHERE id = p_id;
        INSERT INTO webhook_audit (actor, role, org_id, action, reason, details)
        VALUES (p_actor, p_role, run.org_id,
                CASE p_state WHEN 'running' THEN 'bulk_retry_resumed'
                             WHEN 'paused' THEN 'bulk_retry_paused'
                             ELSE 'bulk_retry_stopped' END,
                p_reason, jsonb_build_object('run', p_id));
    END IF;
    RETURN run.state;
END
$$;

---- Rights

GRANT SELECT ON webhook_retry_runs
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;
GRANT INSERT, UPDATE (state, message, allowed_rate, updated_at, followed_until)
    ON webhook_retry_runs TO ringback_tenant_operator, ringback_operator;
GRANT UPDATE (retried, completed, failed_again, skipped, unfinished, position, ended_at,
              lease_owner, leased_until)
    ON webhook_retry_runs TO ringback_operator;

REVOKE EXECUTE ON FUNCTION matching_completed_webhooks, change_webhook_retry_run FROM PUBLIC;
GRANT EXECUTE ON FUNCTION matching_completed_webhooks
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;
GRANT EXECUTE ON FUNCTION change_webhook_retry_run TO ringback_tenant_operator, ringback_operator;
