# Run by the image at its first start: a login for each service, which may only switch to its role.
# The migrations find the roles and grant their rights.
psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set gateway="$GATEWAY_PASSWORD" --set processor="$PROCESSOR_PASSWORD" \
    --set metrics="$METRICS_PASSWORD" <<'SQL'
CREATE ROLE ringback_gateway NOLOGIN NOINHERIT;
CREATE ROLE ringback_processor NOLOGIN NOINHERIT;
CREATE ROLE ringback_tenant NOLOGIN NOINHERIT;
CREATE ROLE ringback_service NOLOGIN NOINHERIT;
CREATE ROLE ringback_tenant_operator NOLOGIN NOINHERIT;
CREATE ROLE ringback_operator NOLOGIN NOINHERIT;
CREATE ROLE ringback_metrics NOLOGIN NOINHERIT
    IN ROLE ringback_tenant, ringback_service, ringback_tenant_operator, ringback_operator;
CREATE ROLE webhooks_gateway LOGIN NOINHERIT PASSWORD :'gateway' IN ROLE ringback_gateway;
CREATE ROLE webhooks_processor LOGIN NOINHERIT PASSWORD :'processor' IN ROLE ringback_processor;
CREATE ROLE webhooks_metrics LOGIN NOINHERIT PASSWORD :'metrics' IN ROLE ringback_metrics;
SQL
