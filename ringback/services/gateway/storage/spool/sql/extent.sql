-- The sequence number and time of the oldest webhook, and the last assigned sequence number.
SELECT
    (SELECT seq FROM spooled ORDER BY seq LIMIT 1),
    (SELECT spooled_at_s FROM spooled ORDER BY seq LIMIT 1),
    (SELECT seq FROM sqlite_sequence WHERE name = 'spooled')
