-- A handler commits before its attempt is finished, and begins its own transaction.
COMMIT; BEGIN
