-- The login of Grafana's data source: it reads with the services' role, and changes nothing.
--
-- Run it once with psql as the migrating user, and give the login a password. It sees every
-- organisation, and so does everyone who may edit dashboards.
CREATE ROLE ringback_grafana LOGIN NOINHERIT IN ROLE ringback_service;
ALTER ROLE ringback_grafana SET role = 'ringback_service';
ALTER ROLE ringback_grafana SET default_transaction_read_only = on;
ALTER ROLE ringback_grafana SET statement_timeout = '10s';
