-- A handler leaves this running on the connection when it returns.
SELECT pg_sleep(2)
