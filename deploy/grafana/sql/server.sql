-- The database as the server sees it: its size, who is connected, how much comes from memory.
SELECT pg_size_pretty(pg_database_size(datname)) AS "Size", numbackends AS "Connections",
       current_setting('max_connections')::integer AS "Most",
       round(100.0 * blks_hit / nullif(blks_hit + blks_read, 0), 1) AS "From memory, %",
       deadlocks AS "Deadlocks", xact_rollback AS "Rollbacks"
FROM pg_stat_database
WHERE datname = current_database()
