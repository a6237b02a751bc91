-- When the oldest webhook was put here, in seconds since 1970.
SELECT spooled_at_s FROM spooled ORDER BY seq LIMIT 1
