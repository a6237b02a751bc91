"""The connection pool, migrations and housekeeping of PostgreSQL."""
