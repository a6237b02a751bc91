-- Record one migration as applied, in its own transaction.
INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)
