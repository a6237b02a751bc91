-- Whether a sweeper has published waits and deletes them now.
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE wait_event = 'PgSleep' AND query LIKE '%DELETE FROM webhook_waits%')
