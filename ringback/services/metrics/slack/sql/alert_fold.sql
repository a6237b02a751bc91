-- Move at most $1 notices of dead letters into their groups.
SELECT moved, dropped FROM fold_webhook_dead_letter_notices($1)
