-- The statement that drops database $1 and disconnects its clients.
SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', $1::text)
