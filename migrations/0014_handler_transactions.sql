-- An attempt whose handlers write in the transaction that finishes it.
--
-- A handler can end that transaction and begin another, or change the role and the search path.
-- So the attempt begins by noting which transaction, role and search path it has, and the statement
-- that finishes the attempt compares them first. Nothing that is written before it, and that a
-- handler could commit, says that the attempt has ended.

SET LOCAL lock_timeout = '4s';

-- Begins the attempt of one webhook, or of none. Answers as `begin_webhook_attempts` does, with the
-- transaction, the role and the search path in which it did so.
--
-- It holds the webhook's row until the transaction ends. What another processor recorded of this
-- attempt while this one waited for the row is read after that.
CREATE FUNCTION begin_webhook_transaction(
    p_ids uuid[], p_attempts integer[], p_org_ids uuid[], p_endpoint_ids text[],
    p_event_types text[], p_event_data text[], p_altered boolean[], p_max_attempts integer[],
    p_call_ids text[], p_dedup_keys text[], p_gateway_instance_ids uuid[], p_retries_of uuid[]
) RETURNS TABLE (
    recorded_outcome text, duplicate_of uuid, transaction_id text, role_name text, search_path text)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    the_id    uuid := p_ids[1];
    status_is text;
    owner     uuid;
BEGIN
    SELECT b.duplicate_of INTO owner
    FROM begin_webhook_attempts(
        p_ids, p_attempts, p_org_ids, p_endpoint_ids, p_event_types, p_event_data, p_altered,
        p_max_attempts, p_call_ids, p_dedup_keys, p_gateway_instance_ids, p_retries_of) AS b;

    SELECT log.status INTO status_is
    FROM webhook_delivery_log AS log WHERE log.id = the_id FOR UPDATE;

    RETURN QUERY
    SELECT coalesce(
               (SELECT done.outcome FROM webhook_delivery_attempts AS done
                WHERE done.delivery_id = the_id AND done.attempt = p_attempts[1]),
               CASE WHEN status_is IN ('completed', 'duplicate') THEN status_is END),
           owner, pg_current_xact_id()::text, current_user::text, current_setting('search_path');
END
$$;

-- Ends the attempts of `finish_webhook_attempts`, if it is called in the transaction, the role and
-- with the search path that are given. Otherwise it raises an error that says what was changed.
CREATE FUNCTION finish_webhook_transaction(
    p_transaction_id text, p_role_name text, p_search_path text,
    p_ids uuid[], p_attempts integer[], p_outcomes text[], p_started_at timestamptz[],
    p_ended_at timestamptz[], p_error_classes text[], p_error_messages text[],
    p_trace_ids text[], p_span_ids text[],
    p_org_ids uuid[], p_endpoint_ids text[], p_event_types text[], p_event_data text[],
    p_altered boolean[], p_max_attempts integer[], p_call_ids text[], p_dedup_keys text[],
    p_gateway_instance_ids uuid[], p_retries_of uuid[]
) RETURNS TABLE (delivery_id uuid, final_outcome text, is_fresh boolean, duplicate_of uuid)
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.pg_current_xact_id_if_assigned()::text IS DISTINCT FROM p_transaction_id THEN
        RAISE EXCEPTION 'The handler ended the transaction that it was given.'
            USING ERRCODE = 'RB001';
    ELSIF current_user IS DISTINCT FROM p_role_name THEN
        RAISE EXCEPTION 'The handler changed the role of its connection to %.', current_user
            USING ERRCODE = 'RB001';
    ELSIF pg_catalog.current_setting('search_path') IS DISTINCT FROM p_search_path THEN
        RAISE EXCEPTION 'The handler changed search_path to %.',
            pg_catalog.current_setting('search_path')
            USING ERRCODE = 'RB001';
    ELSIF pg_catalog.pg_my_temp_schema() <> 0 AND EXISTS (
        SELECT FROM pg_catalog.pg_class
        WHERE relnamespace = pg_catalog.pg_my_temp_schema()
          AND (relname LIKE 'webhook%' OR relname = 'voice_calls')
    ) THEN
        RAISE EXCEPTION 'The handler made a temporary table in the place of one of Ringback.'
            USING ERRCODE = 'RB001';
    END IF;
    RETURN QUERY
    SELECT f.delivery_id, f.final_outcome, f.is_fresh, f.duplicate_of
    FROM finish_webhook_attempts(
        p_ids, p_attempts, p_outcomes, p_started_at, p_ended_at, p_error_classes,
        p_error_messages, p_trace_ids, p_span_ids, p_org_ids, p_endpoint_ids, p_event_types,
        p_event_data, p_altered, p_max_attempts, p_call_ids, p_dedup_keys, p_gateway_instance_ids,
        p_retries_of) AS f;
END
$$;

-- Forgets the statements that a handler prepared by SQL, because the next handler may use the same
-- names. Answers the names of those that its driver prepared, which the driver goes on to use.
CREATE FUNCTION forget_prepared_statements() RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    prepared record;
BEGIN
    FOR prepared IN SELECT s.name, s.from_sql FROM pg_prepared_statements AS s LOOP
        IF prepared.from_sql THEN
            EXECUTE format('DEALLOCATE %I', prepared.name);
        ELSE
            RETURN NEXT prepared.name;
        END IF;
    END LOOP;
END
$$;
