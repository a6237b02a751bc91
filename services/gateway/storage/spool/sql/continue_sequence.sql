-- Where the line begins that takes the place of a quarantined file: behind all positions of that.
INSERT INTO sqlite_sequence (name, seq) VALUES ('spooled', ?)
