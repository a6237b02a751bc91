-- How a transaction ended, and the role that asked.
SELECT pg_catalog.pg_xact_status($1::text::xid8) AS fate, current_user::text AS role_name
