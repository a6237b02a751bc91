-- A handler ends its transaction and forgets all that its session had.
ROLLBACK; SET statement_timeout = 1; SET default_transaction_read_only = on
