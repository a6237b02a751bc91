-- What finishes an attempt takes its time and is on the disk, whatever the handler set.
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = 0;
SET LOCAL synchronous_commit TO DEFAULT;
