-- What an earlier life left: how many webhooks, and the bytes of their bodies.
SELECT count(*), coalesce(sum(length(body)), 0) FROM spooled
