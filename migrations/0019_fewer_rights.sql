-- Takes from each role what it does not use.
--
-- The gateway faces the internet. It could insert webhooks in any state, so a process that took it over
-- could write `completed` rows that no handler ever saw. Now it names only the columns that it fills,
-- and a policy accepts pending rows alone; the other columns have their defaults.

SET LOCAL lock_timeout = '4s';

REVOKE INSERT ON webhook_delivery_log, webhook_gateway_ledger FROM ringback_gateway;
GRANT INSERT (id, org_id, endpoint_id, event_type, event_data, altered, status, max_attempts,
              created_at, call_id, dedup_key, gateway_instance_id)
    ON webhook_delivery_log TO ringback_gateway;
GRANT INSERT (gateway_instance_id, accepted) ON webhook_gateway_ledger TO ringback_gateway;

-- The gateway has a policy of its own on the log, and none elsewhere.
DO $$
DECLARE
    shared regclass;
BEGIN
    FOR shared IN
        SELECT polrelid::regclass FROM pg_policy WHERE polname = 'every_row' ORDER BY 1
    LOOP
        EXECUTE format(
            'ALTER POLICY every_row ON %s TO ringback_processor, ringback_service,
                 ringback_operator', shared);
    END LOOP;
END
$$;

CREATE POLICY pending_rows ON webhook_delivery_log FOR INSERT TO ringback_gateway
    WITH CHECK (status = 'pending');

-- As before, without the gateway: a table that it writes to gets a policy for it.
CREATE OR REPLACE FUNCTION share_webhook_table(closed regclass) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    EXECUTE format(
        'CREATE POLICY every_row ON %s TO ringback_processor, ringback_service,
             ringback_operator USING (true)', closed);
    EXECUTE format(
        'CREATE POLICY own_rows ON %s TO ringback_tenant, ringback_tenant_operator
             USING (org_id = (SELECT webhook_org()))', closed);
END
$$;

-- PostgreSQL lets everybody call a new function. Ours are for the roles that need them, by name: the
-- database may have functions of handlers, which are left alone.
DO $$
DECLARE
    routine regprocedure;
    needed  record;
BEGIN
    FOR needed IN SELECT * FROM (VALUES
        ('ringback_processor', ARRAY[
            'begin_webhook_attempts', 'begin_webhook_transaction', 'claim_webhook_events',
            'ensure_webhook_rows', 'finish_webhook_attempts', 'finish_webhook_transaction',
            'forget_prepared_statements', 'may_clean_webhook_logs', 'move_webhooks',
            'note_webhook_processor', 'record_webhook_dead_letters', 'voice_call_progress',
            'webhook_content', 'webhook_created_at', 'webhook_has_payload', 'webhook_id_at',
            'webhook_partition_days']),
        ('ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator', ARRAY[
            'matching_dead_letters', 'webhook_has_payload', 'webhook_id_at', 'webhook_org',
            'webhook_stats_of']),
        ('ringback_tenant_operator, ringback_operator', ARRAY[
            'add_webhook_retry', 'discard_webhook', 'hand_webhook_claim', 'lock_webhook_decision',
            'resolve_webhook', 'retry_webhook', 'run_duplicate_webhook', 'webhook_created_at',
            'webhook_decided', 'webhook_is_retryable']),
        ('ringback_operator', ARRAY['set_webhook_processing']),
        -- Called with the rights of the owner alone, or as triggers.
        (NULL, ARRAY[
            'may_fold_webhook_stats', 'require_past_webhook_day', 'webhook_is_finished',
            'webhook_stats_after_insert', 'webhook_stats_after_update',
            'webhook_stats_hours_from', 'webhook_stats_minutes_from'])
    ) AS given (role, functions) LOOP
        FOR routine IN
            SELECT oid FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace AND proname = ANY (needed.functions)
            ORDER BY oid
        LOOP
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', routine);
            IF needed.role IS NOT NULL THEN
                EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', routine, needed.role);
            END IF;
        END LOOP;
    END LOOP;
END
$$;

-- A temporary table hides the table of that name from its session, and fills a disk. Where the database
-- or the schema belongs to another login, that one has to do it.
DO $$
BEGIN
    BEGIN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE DEBUG 'neither the database nor its schema is ours';
    END;
    IF has_database_privilege('ringback_gateway', current_database(), 'TEMPORARY')
       OR has_schema_privilege('ringback_gateway', 'public', 'CREATE') THEN
        RAISE NOTICE 'the owner has to run: REVOKE TEMPORARY ON DATABASE % FROM PUBLIC; '
            'REVOKE CREATE ON SCHEMA public FROM PUBLIC', quote_ident(current_database());
    END IF;
END
$$;
