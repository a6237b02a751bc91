-- A handler changes what names mean to whoever uses the connection next.
SET search_path = pg_catalog
