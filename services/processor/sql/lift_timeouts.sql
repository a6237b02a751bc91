-- The statements that finish an attempt have their own timeout, not the handler's.
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = 0;
