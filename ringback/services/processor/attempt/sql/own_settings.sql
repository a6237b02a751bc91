-- Finish an attempt without timeouts and with a durable commit, whatever the handler set.
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = 0;
SET LOCAL synchronous_commit TO DEFAULT;
