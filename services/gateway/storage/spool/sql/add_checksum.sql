-- What a file of an earlier version lacks.
ALTER TABLE spooled ADD COLUMN checksum INTEGER
