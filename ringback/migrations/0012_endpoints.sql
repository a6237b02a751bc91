-- The endpoints that running gateways have, and which requests they refused. Each gateway reports
-- its own; nothing waits for a report.

SET LOCAL lock_timeout = '4s';

-- Unlogged: after a crash of the server the tables are empty, and the gateways report again.
CREATE UNLOGGED TABLE webhook_gateways (
    id             uuid PRIMARY KEY,
    host           text NOT NULL,
    started_at     timestamptz NOT NULL,
    seen_at        timestamptz NOT NULL,
    endpoint_count integer NOT NULL,
    file_problems  text[] NOT NULL
) WITH (fillfactor = 50);

COMMENT ON COLUMN webhook_gateways.id IS 'gateway_instance_id: one id per run of a process.';
COMMENT ON COLUMN webhook_gateways.file_problems IS
    'Why the endpoints file is not usable. It then works with the endpoints that it had.';

CREATE UNLOGGED TABLE webhook_gateway_endpoints (
    gateway_id  uuid NOT NULL REFERENCES webhook_gateways ON DELETE CASCADE,
    endpoint_id text NOT NULL,
    org_id      uuid NOT NULL,
    since       timestamptz NOT NULL,
    declared    jsonb NOT NULL,
    PRIMARY KEY (endpoint_id, gateway_id)
);

CREATE INDEX webhook_gateway_endpoints_gateway ON webhook_gateway_endpoints (gateway_id);
CREATE INDEX webhook_gateway_endpoints_org ON webhook_gateway_endpoints (org_id, endpoint_id);

COMMENT ON COLUMN webhook_gateway_endpoints.since IS
    'Since when the gateway has the endpoint as it is declared.';
COMMENT ON COLUMN webhook_gateway_endpoints.declared IS 'What the file says, without secrets.';

CREATE UNLOGGED TABLE webhook_gateway_refusals (
    gateway_id  uuid NOT NULL REFERENCES webhook_gateways ON DELETE CASCADE,
    endpoint_id text NOT NULL,
    org_id      uuid,
    reason      text NOT NULL,
    status      integer NOT NULL,
    count       bigint NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    PRIMARY KEY (endpoint_id, gateway_id, reason)
);

CREATE INDEX webhook_gateway_refusals_gateway ON webhook_gateway_refusals (gateway_id);

COMMENT ON TABLE webhook_gateway_refusals IS
    'Requests that a gateway refused since its start. Without an endpoint: endpoint_id is empty.';

SELECT enable_webhook_row_security(reported), create_webhook_policies(reported)
FROM unnest(ARRAY['webhook_gateway_endpoints', 'webhook_gateway_refusals']::regclass[]) AS reported;

-- Writes what a gateway reports, and deletes gateways that have been silent for an hour. The endpoints
-- and the refusals are replaced, unless they are null. Returns whether the gateway was not known.
CREATE FUNCTION report_webhook_gateway(
    p_id uuid, p_host text, p_started_at timestamptz, p_endpoint_count integer,
    p_file_problems text[], p_endpoints jsonb, p_refusals jsonb
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    is_new boolean;
BEGIN
    INSERT INTO webhook_gateways AS gateway (id, host, started_at, seen_at, endpoint_count, file_problems)
    VALUES (p_id, p_host, p_started_at, clock_timestamp(), p_endpoint_count, p_file_problems)
    ON CONFLICT (id) DO UPDATE
    SET seen_at = excluded.seen_at, endpoint_count = excluded.endpoint_count,
        file_problems = excluded.file_problems
    -- A row that was only updated has been locked by this transaction.
    RETURNING gateway.xmax = 0 INTO is_new;

    IF p_endpoints IS NOT NULL THEN
        DELETE FROM webhook_gateway_endpoints WHERE gateway_id = p_id;
        INSERT INTO webhook_gateway_endpoints
        SELECT p_id, one.endpoint_id, one.org_id, one.since, one.declared
        FROM jsonb_to_recordset(p_endpoints) AS one (
            endpoint_id text, org_id uuid, since timestamptz, declared jsonb);
    END IF;

    IF p_refusals IS NOT NULL THEN
        DELETE FROM webhook_gateway_refusals WHERE gateway_id = p_id;
        INSERT INTO webhook_gateway_refusals
        SELECT p_id, one.endpoint_id, one.org_id, one.reason, one.status, one.count, one.first_at,
               one.last_at
        FROM jsonb_to_recordset(p_refusals) AS one (
            endpoint_id text, org_id uuid, reason text, status integer, count bigint,
            first_at timestamptz, last_at timestamptz);
    END IF;

    DELETE FROM webhook_gateways WHERE id IN (
        SELECT id FROM webhook_gateways WHERE seen_at < clock_timestamp() - interval '1 hour'
        FOR UPDATE SKIP LOCKED);
    RETURN is_new;
END
$$;

-- A gateway stops.
CREATE FUNCTION forget_webhook_gateway(p_id uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM webhook_gateways WHERE id = p_id
$$;

GRANT SELECT ON webhook_gateway_endpoints, webhook_gateway_refusals
    TO ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;
GRANT SELECT ON webhook_gateways TO ringback_service, ringback_operator;
-- The problems of the file may name endpoints of other orgs.
GRANT SELECT (id, host, started_at, seen_at)
    ON webhook_gateways TO ringback_tenant, ringback_tenant_operator;

REVOKE EXECUTE ON FUNCTION report_webhook_gateway, forget_webhook_gateway FROM PUBLIC;
GRANT EXECUTE ON FUNCTION report_webhook_gateway, forget_webhook_gateway TO ringback_gateway;
