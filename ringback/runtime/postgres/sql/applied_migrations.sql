-- Version and checksum of each applied migration.
SELECT version, checksum FROM schema_migrations ORDER BY version
