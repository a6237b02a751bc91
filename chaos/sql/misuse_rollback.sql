-- A handler rolls back its transaction, and so the attempt.
ROLLBACK
