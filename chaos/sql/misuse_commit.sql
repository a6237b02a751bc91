-- A handler commits before its attempt is finished, and begins a transaction of its own.
COMMIT; BEGIN
