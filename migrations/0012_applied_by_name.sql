-- Lets a service ask whether the database is at its version, without reading what was applied.

SET LOCAL lock_timeout = '4s';

-- Whether each of these migrations has been applied. There may be more: a service that is older than
-- the database goes on.
CREATE FUNCTION webhook_schema_has(versions text[]) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT versions <@ ARRAY(SELECT version FROM schema_migrations)
$$;

REVOKE EXECUTE ON FUNCTION webhook_schema_has FROM PUBLIC;
GRANT EXECUTE ON FUNCTION webhook_schema_has
    TO ringback_gateway, ringback_processor, ringback_metrics;
