-- The login of Grafana's data source: it reads as the role for services, and changes nothing.
--
-- Run it once by psql as whoever migrates, and give the login a password. It sees every
-- organisation, and whoever may edit dashboards sees with it what it sees.
CREATE ROLE ringback_grafana LOGIN NOINHERIT IN ROLE ringback_service;
ALTER ROLE ringback_grafana SET role = 'ringback_service';
ALTER ROLE ringback_grafana SET default_transaction_read_only = on;
ALTER ROLE ringback_grafana SET statement_timeout = '10s';
