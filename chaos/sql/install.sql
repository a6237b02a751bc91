-- The suite's own table of effects. Without a unique key, so that doubles can be counted.
CREATE SCHEMA IF NOT EXISTS chaos;
CREATE TABLE IF NOT EXISTS chaos.effects (
    event      text NOT NULL,
    job_id     uuid NOT NULL,
    attempt    integer NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS effects_event ON chaos.effects (event);
GRANT USAGE ON SCHEMA chaos TO ringback_processor;
GRANT INSERT ON chaos.effects TO ringback_processor;
