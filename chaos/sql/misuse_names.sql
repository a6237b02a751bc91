-- A handler changes what names mean to the next user of the connection.
SET search_path = pg_catalog
