-- The logins of compose.yaml: one for each service and one for Grafana, with the passwords of the
-- environment. Run by psql after the migrations, which create the roles. Another run sets the
-- passwords again.
\set ON_ERROR_STOP on
\getenv gateway_password GATEWAY_PASSWORD
\getenv processor_password PROCESSOR_PASSWORD
\getenv metrics_password METRICS_PASSWORD
\getenv grafana_reader_password GRAFANA_READER_PASSWORD

-- The server's log shows no statement with a password, even if it is refused.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';

SELECT format('CREATE ROLE %I LOGIN IN ROLE %I', 'webhooks_' || service, 'ringback_' || service)
FROM unnest(ARRAY['gateway', 'processor', 'metrics']) AS service
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'webhooks_' || service)
\gexec

SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ringback_grafana') AS lacks_reader
\gset
\if :lacks_reader
\ir ../grafana/reader.sql
\endif

ALTER ROLE webhooks_gateway PASSWORD :'gateway_password';
ALTER ROLE webhooks_processor PASSWORD :'processor_password';
ALTER ROLE webhooks_metrics PASSWORD :'metrics_password';
ALTER ROLE ringback_grafana PASSWORD :'grafana_reader_password';
