CREATE EXTENSION pg_stat_statements;

-- The delivery log of a peer: a row for each webhook, as the replaced system keeps it.
CREATE TABLE log (
    id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    job_id text NOT NULL UNIQUE,
    event_type text NOT NULL,
    event_data jsonb NOT NULL,
    status text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 3,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_attempt_at timestamptz,
    completed_at timestamptz,
    error_message text
);
CREATE INDEX ON log (org_id);
CREATE INDEX ON log (status);

-- When each attempt of a call that fails began.
CREATE TABLE attempts (call_id text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE VIEW numbered AS
    SELECT call_id, at, row_number() OVER (PARTITION BY call_id ORDER BY at)::int AS number
    FROM attempts;
