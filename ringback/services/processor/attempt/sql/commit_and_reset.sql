-- Commit, and reset what a handler may leave in a session. Returns the statements that remain prepared.
COMMIT;
SELECT pg_catalog.pg_advisory_unlock_all();
CLOSE ALL;
UNLISTEN *;
RESET ALL;
DISCARD TEMP;
DISCARD SEQUENCES;
SELECT public.deallocate_prepared_statements();
