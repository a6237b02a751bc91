-- Whether each of these migrations has been applied.
SELECT webhook_schema_has($1)
