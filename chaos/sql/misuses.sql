-- Statements with which a handler misuses the connection of its transaction, separated by empty lines.
-- It rolls back its transaction, and so the attempt.
ROLLBACK

-- It commits before its attempt is finished, and begins another transaction.
COMMIT; BEGIN

-- It changes what names mean to the next user of the connection.
SET search_path = pg_catalog

-- It ends its transaction and changes the settings of its session.
ROLLBACK; SET statement_timeout = 1; SET default_transaction_read_only = on

-- It leaves this statement running on the connection when it returns.
SELECT pg_sleep(2)
