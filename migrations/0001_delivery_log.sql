-- The delivery log: where every webhook is, and every attempt that was made.
--
-- Both tables are partitioned by day on the job id. A UUIDv7 sorts by its time, so the key stays
-- the id, and whoever asks by id, or by a time range given as ids, reads only the days concerned.
-- There are no foreign keys: they would block dropping a day.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_delivery_log (
    id              uuid PRIMARY KEY,
    org_id          uuid NOT NULL,
    job_id          text GENERATED ALWAYS AS (id::text) STORED,
    endpoint_id     text NOT NULL,
    event_type      text NOT NULL,
    event_data      jsonb NOT NULL,
    altered         boolean NOT NULL DEFAULT false,
    status          text NOT NULL CHECK (status IN (
                        'pending', 'processing', 'completed', 'failed', 'dead_letter', 'duplicate')),
    attempts        integer NOT NULL DEFAULT 0,
    max_attempts    integer NOT NULL,
    created_at      timestamptz NOT NULL,
    last_attempt_at timestamptz,
    completed_at    timestamptz,
    error_message   text,
    error_class     text,
    call_id         text,
    dedup_key       text,
    gateway_instance_id    uuid,
    duplicate_of    uuid,
    retry_of        uuid,
    retried_as      uuid,
    resolution      text,
    resolved_at     timestamptz
) PARTITION BY RANGE (id);

-- Compressing costs more time than it saves on payloads of some kilobytes.
ALTER TABLE webhook_delivery_log ALTER COLUMN event_data SET STORAGE EXTERNAL;

-- Updates stay HOT: no index holds a column that a successful attempt changes.
CREATE INDEX webhook_delivery_log_org ON webhook_delivery_log (org_id, id);
-- The few rows with an error have two more: failures and dead letters of one org, and of all.
CREATE INDEX webhook_delivery_log_org_error ON webhook_delivery_log (org_id, id)
    WHERE error_class IS NOT NULL;
CREATE INDEX webhook_delivery_log_error ON webhook_delivery_log (id)
    WHERE error_class IS NOT NULL;

COMMENT ON TABLE webhook_delivery_log IS 'One row per accepted webhook.';
COMMENT ON COLUMN webhook_delivery_log.altered IS
    'event_data differs from what arrived, because JSONB could not hold it.';

CREATE TABLE webhook_delivery_attempts (
    delivery_id   uuid NOT NULL,
    attempt       integer NOT NULL,
    org_id        uuid NOT NULL,
    outcome       text NOT NULL CHECK (outcome IN ('completed', 'failed', 'permanent', 'duplicate')),
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz NOT NULL,
    duration_ms   double precision GENERATED ALWAYS AS
                      (extract(epoch FROM (ended_at - started_at)) * 1000) STORED,
    error_class   text,
    error_message text,
    trace_id      text,
    span_id       text,
    PRIMARY KEY (delivery_id, attempt)
) PARTITION BY RANGE (delivery_id);

COMMENT ON TABLE webhook_delivery_attempts IS
    'One row per attempt that ended. A redelivery repeats the outcome that stands here.';

-- Claims: the first webhook that carries an event owns its key; later ones are duplicates.
CREATE TABLE webhook_inbox (
    org_id      uuid NOT NULL,
    dedup_key   text NOT NULL,
    delivery_id uuid NOT NULL,
    claimed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, dedup_key)
);

CREATE INDEX webhook_inbox_claimed_at ON webhook_inbox USING brin (claimed_at);

-- What each life of a gateway says it accepted, to be held against the rows of that life.
CREATE TABLE webhook_gateway_ledger (
    gateway_instance_id uuid NOT NULL,
    written_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    accepted     bigint NOT NULL
);

CREATE INDEX webhook_gateway_ledger_instance ON webhook_gateway_ledger (gateway_instance_id, accepted);
