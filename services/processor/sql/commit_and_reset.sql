-- Commit, and take back what a handler may leave in a session. Answers the statements that remain prepared.
COMMIT;
SELECT pg_catalog.pg_advisory_unlock_all();
CLOSE ALL;
UNLISTEN *;
RESET ALL;
DISCARD TEMP;
DISCARD SEQUENCES;
SELECT public.forget_prepared_statements();
