-- A handler ends its transaction and resets its session.
ROLLBACK; SET statement_timeout = 1; SET default_transaction_read_only = on
