-- How a transaction ended, and as which role that is answered.
SELECT pg_catalog.pg_xact_status($1::text::xid8) AS fate, current_user::text AS role_name
