-- A handler ends its transaction, and with it the attempt.
ROLLBACK
