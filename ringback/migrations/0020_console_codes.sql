-- One-time codes with which a browser signs in to the console. Any replica of the metrics service may
-- create one, and any other may exchange it.

SET LOCAL lock_timeout = '4s';

CREATE TABLE webhook_console_codes (
    code_hash  bytea PRIMARY KEY,
    role       text NOT NULL CHECK (role IN ('tenant', 'service')),
    org_id     uuid,
    subject    text NOT NULL,
    expires_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '1 minute',
    -- Row level security lets a tenant add only codes of its own org, and this only of its own role.
    CHECK ((role = 'tenant') = (org_id IS NOT NULL))
);

COMMENT ON TABLE webhook_console_codes IS
    'Codes that were created and not yet used, and whose rights a session then has. A code is deleted '
    'when it is used or has expired.';
COMMENT ON COLUMN webhook_console_codes.code_hash IS
    'SHA-256 of the code, so that the table lets nobody sign in.';

SELECT enable_webhook_row_security('webhook_console_codes'),
       create_webhook_policies('webhook_console_codes');

GRANT INSERT (code_hash, role, org_id, subject), SELECT (expires_at)
    ON webhook_console_codes TO ringback_tenant_operator, ringback_operator;

-- Adding a code deletes the expired ones, with its owner's rights, because no role may delete here.
CREATE FUNCTION prune_webhook_console_codes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM webhook_console_codes WHERE code_hash IN (
        SELECT code_hash FROM webhook_console_codes WHERE expires_at <= clock_timestamp()
        FOR UPDATE SKIP LOCKED);
    RETURN NULL;
END
$$;

CREATE TRIGGER prune_expired AFTER INSERT ON webhook_console_codes
FOR EACH STATEMENT EXECUTE FUNCTION prune_webhook_console_codes();

-- Deletes a code and returns whose it was; no row if it is unknown, used or expired. Two exchanges at
-- the same time: the second waits for the first, and then finds no row.
CREATE FUNCTION use_webhook_console_code(p_code_hash bytea)
RETURNS TABLE (role text, org_id uuid, subject text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM webhook_console_codes AS code
    WHERE code.code_hash = p_code_hash AND code.expires_at > clock_timestamp()
    RETURNING code.role, code.org_id, code.subject
$$;

REVOKE EXECUTE ON FUNCTION prune_webhook_console_codes, use_webhook_console_code FROM PUBLIC;
GRANT EXECUTE ON FUNCTION use_webhook_console_code TO ringback_metrics;
