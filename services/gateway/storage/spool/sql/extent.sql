-- The oldest webhook: its position, and when it came; and the last position that was given.
SELECT
    (SELECT seq FROM spooled ORDER BY seq LIMIT 1),
    (SELECT spooled_at_s FROM spooled ORDER BY seq LIMIT 1),
    (SELECT seq FROM sqlite_sequence WHERE name = 'spooled')
