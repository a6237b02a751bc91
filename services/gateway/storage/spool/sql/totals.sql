-- What the file holds: how many webhooks, the bytes of their bodies, and how many damaged rows.
SELECT
    (SELECT count(*) FROM spooled),
    (SELECT coalesce(sum(length(body)), 0) FROM spooled),
    (SELECT count(*) FROM damaged)
