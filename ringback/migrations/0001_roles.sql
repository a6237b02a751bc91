-- The roles of the services, and row level security between orgs.
--
-- Grants say what a role may touch; policies say which rows of it. Nobody logs in as one of these
-- roles: a login takes its role from its URL, `?role=ringback_gateway`. Roles belong to the server,
-- so another database may have created them already.

-- Long enough for the migration of another database that is creating the same roles.
SET LOCAL lock_timeout = '60s';

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY[
        'ringback_gateway', 'ringback_processor', 'ringback_metrics',
        'ringback_tenant', 'ringback_service', 'ringback_tenant_operator', 'ringback_operator'
    ] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = wanted);
        BEGIN
            -- NOINHERIT: the metrics service has its caller's rights only after SET ROLE.
            EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            RAISE DEBUG 'another migration has created the role %', wanted;
        END;
    END LOOP;
END
$$;

-- The metrics service takes the role of its caller; the user who migrates may take any of them.
DO $$
DECLARE
    wanted text;
    member text;
    -- From PostgreSQL 16 on, the creator of a role is a member that may not SET ROLE to it.
    needed text := CASE WHEN current_setting('server_version_num')::integer < 160000
                        THEN 'MEMBER' ELSE 'SET' END;
BEGIN
    FOR wanted, member IN
        SELECT role, 'ringback_metrics'
        FROM unnest(ARRAY['ringback_tenant', 'ringback_service',
                          'ringback_tenant_operator', 'ringback_operator']) AS role
        UNION ALL
        SELECT role, current_user
        FROM unnest(ARRAY['ringback_gateway', 'ringback_processor', 'ringback_metrics']) AS role
    LOOP
        CONTINUE WHEN pg_has_role(member, wanted, needed);
        BEGIN
            EXECUTE format('GRANT %I TO %I', wanted, member);
        EXCEPTION
            WHEN unique_violation OR internal_error THEN
                RAISE DEBUG 'another migration has granted % to %', wanted, member;
            WHEN insufficient_privilege THEN
                -- The tables need no member; only a login that takes the role does.
                RAISE NOTICE 'an administrator has to run: GRANT % TO %', wanted, member;
        END;
    END LOOP;
END
$$;

SET LOCAL lock_timeout = '4s';

-- A temporary table hides the table of that name from its session, and can fill a disk. Only the
-- owner of the database and of the schema can revoke these rights.
DO $$
BEGIN
    BEGIN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE DEBUG 'another user owns the database or its schema';
    END;
    IF has_database_privilege('ringback_gateway', current_database(), 'TEMPORARY')
       OR has_schema_privilege('ringback_gateway', 'public', 'CREATE') THEN
        RAISE NOTICE 'the owner has to run: REVOKE TEMPORARY ON DATABASE % FROM PUBLIC; '
            'REVOKE CREATE ON SCHEMA public FROM PUBLIC', quote_ident(current_database());
    END IF;
END
$$;

-- The org that this transaction acts for, null if none is set. Statistics keep the sum of all orgs
-- under the greatest UUID, so nobody can act for that one.
CREATE FUNCTION webhook_org() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(nullif(current_setting('ringback.org_id', true), '')::uuid,
                  'ffffffff-ffff-ffff-ffff-ffffffffffff')
$$;

-- Enables row level security on a table, for its owner too, and lets only the owner see its rows.
-- A partition needs no more: nobody has grants on partitions, because the policies of the log do
-- not apply when a partition is read directly.
CREATE FUNCTION enable_webhook_row_security(target regclass) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    owner text := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = target);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY owner ON %s TO %I USING (true)', target, owner);
END
$$;

-- Adds the policies of a table with an org_id. A table that the gateway writes to needs another one
-- for it. The org is a subquery so that it is evaluated once per statement, not once per row.
CREATE FUNCTION create_webhook_policies(target regclass) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    EXECUTE format(
        'CREATE POLICY every_row ON %s TO ringback_processor, ringback_service,
             ringback_operator USING (true)', target);
    EXECUTE format(
        'CREATE POLICY own_rows ON %s TO ringback_tenant, ringback_tenant_operator
             USING (org_id = (SELECT webhook_org()))', target);
END
$$;

-- Whether each of these migrations has been applied. There may be more of them: an older service
-- continues to run on a newer database.
CREATE FUNCTION webhook_schema_has(versions text[]) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT versions <@ ARRAY(SELECT version FROM schema_migrations)
$$;

REVOKE EXECUTE ON FUNCTION
    webhook_org, enable_webhook_row_security, create_webhook_policies, webhook_schema_has
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION webhook_org
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;
GRANT EXECUTE ON FUNCTION webhook_schema_has
    TO ringback_gateway, ringback_processor, ringback_metrics;
