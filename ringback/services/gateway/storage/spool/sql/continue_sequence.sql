-- Continues the sequence numbers of a quarantined file in the file that replaces it.
INSERT INTO sqlite_sequence (name, seq) VALUES ('spooled', ?)
