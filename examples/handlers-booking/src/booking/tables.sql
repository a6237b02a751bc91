-- One row for each call that has ended. The processor may add rows, and read them for ON CONFLICT.
CREATE TABLE booked_calls (
    call_id text PRIMARY KEY,
    ended_reason text,
    booked_at timestamptz NOT NULL DEFAULT now()
);
GRANT INSERT, SELECT ON booked_calls TO ringback_processor;
