-- Who may do what: a role for each service, and row level security between organisations.
--
-- Roles belong to the server, not to the database, so other databases may have them already, or be
-- making them at this moment. Nobody logs in as one: a login becomes one, by `?role=...` in its URL.
-- What a role may touch is said by grants; which rows of it, by policies.

-- Another database's migration makes the same roles: this one waits until it has ended.
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
            -- None inherits: the metrics service has a caller's rights only after becoming its role.
            EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            RAISE DEBUG 'the migration of another database has made the role %', wanted;
        END;
    END LOOP;
END
$$;

-- The metrics service becomes the role of its caller; whoever migrates may become any of them.
DO $$
DECLARE
    wanted text;
    member text;
    -- Since version 16 the maker of a role is a member that may not become it.
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
                RAISE DEBUG 'another database has made % a member of %', member, wanted;
            WHEN insufficient_privilege THEN
                -- The tables need no member; only a login that is to become the role does.
                RAISE NOTICE 'an administrator has to run: GRANT % TO %', wanted, member;
        END;
    END LOOP;
END
$$;

SET LOCAL lock_timeout = '4s';

-- The organisation that this transaction acts for, null if none was set. The statistics keep the
-- sum of all organisations under the greatest id; nobody acts for that one.
CREATE FUNCTION webhook_org() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(nullif(current_setting('ringback.org_id', true), '')::uuid,
                  'ffffffff-ffff-ffff-ffff-ffffffffffff')
$$;

-- Closes a table, also to its owner, and opens it again to the owner alone. That is all for a day:
-- row level security of the log does not guard a direct reading of its days, so nobody has grants
-- on them, and a grant by mistake shows nothing.
CREATE FUNCTION close_webhook_table(closed regclass) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    owner text := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = closed);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', closed);
    EXECUTE format('CREATE POLICY owner ON %s TO %I USING (true)', closed, owner);
END
$$;

-- Says which rows of a closed table there are for whom. The organisation is a subquery, so that it
-- is found once for a statement and not for each row.
CREATE FUNCTION share_webhook_table(closed regclass) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    EXECUTE format(
        'CREATE POLICY every_row ON %s TO ringback_gateway, ringback_processor, ringback_service,
             ringback_operator USING (true)', closed);
    EXECUTE format(
        'CREATE POLICY own_rows ON %s TO ringback_tenant, ringback_tenant_operator
             USING (org_id = (SELECT webhook_org()))', closed);
END
$$;

-- Every table that says whose its rows are. Days of the log are closed and not shared.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT pg_class.oid::regclass AS name, relispartition
        FROM pg_class
        JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'org_id' AND NOT attisdropped
        WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
        ORDER BY pg_class.relname
    LOOP
        PERFORM close_webhook_table(found.name);
        IF NOT found.relispartition THEN
            PERFORM share_webhook_table(found.name);
        END IF;
    END LOOP;
END
$$;

-- As before, and each day is closed before it becomes one of the log. With its owner's rights: who
-- makes the days ahead need not own them.
CREATE OR REPLACE FUNCTION ensure_webhook_partitions(
    first_day date DEFAULT (now() AT TIME ZONE 'UTC')::date - 1,
    last_day  date DEFAULT (now() AT TIME ZONE 'UTC')::date + 7
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    day       date;
    parent    text;
    partition text;
    made      integer := 0;
BEGIN
    -- One maker at a time: two would make the same partition and one would fail.
    PERFORM pg_advisory_xact_lock(hashtext('ensure_webhook_partitions'));
    FOREACH parent IN ARRAY ARRAY['webhook_delivery_log', 'webhook_delivery_attempts'] LOOP
        day := first_day;
        WHILE day <= last_day LOOP
            partition := parent || to_char(day, '_YYYYMMDD');
            IF to_regclass(format('%I', partition)) IS NULL THEN
                EXECUTE format(
                    'CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (fillfactor = 80)',
                    partition, parent);
                PERFORM close_webhook_table(partition::regclass);
                EXECUTE format(
                    'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                    parent, partition,
                    webhook_id_at(day::timestamp AT TIME ZONE 'UTC'),
                    webhook_id_at((day + 1)::timestamp AT TIME ZONE 'UTC'));
                made := made + 1;
            END IF;
            day := day + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

-- As before. What commits between its steps cannot have its owner's rights, so the steps have them,
-- and each of them removes only what is finished and past.
CREATE OR REPLACE PROCEDURE cleanup_old_webhook_logs(
    retention_days integer DEFAULT 30,
    batch_size     integer DEFAULT 5000
)
LANGUAGE plpgsql AS $$
DECLARE
    first_kept date := (now() AT TIME ZONE 'UTC')::date - retention_days;
    old_day    date;
    state      text;
    tries      integer;
BEGIN
    IF retention_days < 1 OR batch_size < 1 THEN
        RAISE EXCEPTION 'retention_days and batch_size must be at least 1';
    END IF;
    FOR old_day IN SELECT day FROM webhook_partition_days() WHERE day < first_kept LOOP
        tries := 0;
        LOOP
            IF NOT may_clean_webhook_logs() THEN
                RETURN;
            END IF;
            state := drop_finished_webhook_day(old_day);
            COMMIT;
            tries := tries + 1;
            EXIT WHEN state <> 'in use' OR tries = 5;
            PERFORM pg_sleep(0.2);
        END LOOP;
        IF state = 'in use' THEN
            RAISE NOTICE 'the day % is being read; it stays until the next run', old_day;
        END IF;
        WHILE state = 'unfinished' LOOP
            IF NOT may_clean_webhook_logs() THEN
                RETURN;
            END IF;
            IF NOT delete_finished_webhooks(old_day, batch_size) THEN
                state := 'emptied';
            END IF;
            COMMIT;
        END LOOP;
    END LOOP;
    LOOP
        IF NOT may_clean_webhook_logs() THEN
            RETURN;
        END IF;
        EXIT WHEN prune_webhook_inbox(batch_size) = 0;
        COMMIT;
    END LOOP;
    PERFORM prune_webhook_ledger(retention_days);
    COMMIT;
END
$$;

DROP PROCEDURE drop_webhook_day(date);

-- Drops one day of both tables, `dropped`, unless something of it is `unfinished` or a reader holds
-- it, `in use`: writers queue behind a waiting drop, so it waits half a second at most.
CREATE FUNCTION drop_finished_webhook_day(old_day date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    log_day      text := 'webhook_delivery_log' || to_char(old_day, '_YYYYMMDD');
    attempts_day text := 'webhook_delivery_attempts' || to_char(old_day, '_YYYYMMDD');
    unfinished   boolean := false;
BEGIN
    PERFORM require_past_webhook_day(old_day);
    -- Another one may have dropped it.
    IF to_regclass(format('%I', log_day)) IS NOT NULL THEN
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM %I WHERE NOT webhook_is_finished(status, resolution))',
            log_day) INTO unfinished;
    END IF;
    IF unfinished THEN
        RETURN 'unfinished';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS %I, %I', log_day, attempts_day);
    RETURN 'dropped';
EXCEPTION WHEN lock_not_available THEN
    RETURN 'in use';
END
$$;

-- Deletes some finished rows of a day, with their attempts. Whether there are more.
CREATE FUNCTION delete_finished_webhooks(old_day date, batch_size integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    suffix    text := to_char(old_day, '_YYYYMMDD');
    left_over boolean;
BEGIN
    PERFORM require_past_webhook_day(old_day);
    -- Another one may have dropped it.
    IF to_regclass(format('%I', 'webhook_delivery_log' || suffix)) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format(
        'WITH gone AS (
             DELETE FROM %1$I WHERE id IN (
                 SELECT id FROM %1$I
                 WHERE webhook_is_finished(status, resolution) LIMIT %2$s)
             RETURNING id)
         DELETE FROM %3$I WHERE delivery_id IN (SELECT id FROM gone)',
        'webhook_delivery_log' || suffix, batch_size, 'webhook_delivery_attempts' || suffix);
    EXECUTE format(
        'SELECT EXISTS (SELECT FROM %I WHERE webhook_is_finished(status, resolution))',
        'webhook_delivery_log' || suffix) INTO left_over;
    RETURN left_over;
END
$$;

CREATE FUNCTION require_past_webhook_day(old_day date) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF old_day >= (now() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION 'the day % is not past', old_day;
    END IF;
END
$$;

-- Deletes at most `batch_size` claims that are older than 7 days; how many it deleted.
CREATE FUNCTION prune_webhook_inbox(batch_size integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    pruned bigint;
BEGIN
    DELETE FROM webhook_inbox WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM webhook_inbox WHERE claimed_at < now() - interval '7 days'
        LIMIT batch_size));
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END
$$;

-- The newest row of a life holds its whole count; the others have served after a day.
CREATE FUNCTION prune_webhook_ledger(retention_days integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM webhook_gateway_ledger AS older
    USING webhook_gateway_ledger AS newer
    WHERE newer.gateway_instance_id = older.gateway_instance_id AND newer.accepted > older.accepted
      AND older.written_at < now() - interval '1 day';
    DELETE FROM webhook_gateway_ledger
    WHERE written_at < now() - make_interval(days => greatest(retention_days, 1))
$$;

-- What runs with its owner's rights is for the service that needs it, not for everybody.
REVOKE EXECUTE ON FUNCTION
    close_webhook_table, share_webhook_table, ensure_webhook_partitions,
    drop_finished_webhook_day, delete_finished_webhooks, prune_webhook_inbox, prune_webhook_ledger
FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE cleanup_old_webhook_logs FROM PUBLIC;

-- The gateway adds, and reads nothing.
GRANT INSERT ON webhook_delivery_log, webhook_gateway_ledger TO ringback_gateway;

-- The processor works on all organisations. It removes nothing but by the cleaning.
GRANT SELECT, INSERT, UPDATE
    ON webhook_delivery_log, webhook_delivery_attempts, webhook_inbox, voice_calls
    TO ringback_processor;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_processors TO ringback_processor;
GRANT SELECT ON webhook_processing TO ringback_processor;
GRANT EXECUTE ON FUNCTION
    ensure_webhook_partitions, drop_finished_webhook_day, delete_finished_webhooks,
    prune_webhook_inbox, prune_webhook_ledger
TO ringback_processor;
GRANT EXECUTE ON PROCEDURE cleanup_old_webhook_logs TO ringback_processor;

-- Those who ask, and those who change, read the log; a tenant what is its own.
GRANT SELECT
    ON webhook_delivery_log, webhook_delivery_attempts, webhook_stats, webhook_stats_deltas,
       webhook_retries, webhook_audit, webhook_processing, webhook_processors
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;

-- To retry is to add a webhook, to hand the claim over and to resolve the dead letter. What has
-- happened to a webhook is not to be changed by hand, and the audit is only added to.
GRANT INSERT, UPDATE (resolution, resolved_at, retried_as)
    ON webhook_delivery_log TO ringback_tenant_operator, ringback_operator;
GRANT SELECT, INSERT, UPDATE (delivery_id, claimed_at)
    ON webhook_inbox TO ringback_tenant_operator, ringback_operator;
GRANT INSERT, UPDATE (published_at)
    ON webhook_retries TO ringback_tenant_operator, ringback_operator;
GRANT INSERT ON webhook_audit TO ringback_tenant_operator, ringback_operator;
-- A pause concerns all organisations.
GRANT UPDATE (paused, changed_at, changed_by, reason) ON webhook_processing TO ringback_operator;

-- The metrics service itself keeps the statistics and counts the dead letters, and sees no webhook.
CREATE FUNCTION count_unresolved_dead_letters() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    -- Every one has an error class, so a partial index finds them.
    SELECT count(*) FROM webhook_delivery_log
    WHERE error_class IS NOT NULL AND status = 'dead_letter' AND resolution IS NULL
$$;

REVOKE EXECUTE ON FUNCTION count_unresolved_dead_letters FROM PUBLIC;
GRANT SELECT ON webhook_processing, webhook_processors TO ringback_metrics;
GRANT EXECUTE ON FUNCTION
    count_unresolved_dead_letters, fold_webhook_stats, prune_webhook_stats, prune_webhook_retries
TO ringback_metrics;
