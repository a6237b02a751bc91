-- The number of webhooks, the total size of their bodies, and the number of damaged rows.
SELECT
    (SELECT count(*) FROM spooled),
    (SELECT coalesce(sum(length(body)), 0) FROM spooled),
    (SELECT count(*) FROM damaged)
