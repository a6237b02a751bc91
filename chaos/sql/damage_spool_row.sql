-- The oldest webhook without a byte of its headers.
UPDATE spooled SET headers = substr(headers, 2) WHERE seq = (SELECT min(seq) FROM spooled)
