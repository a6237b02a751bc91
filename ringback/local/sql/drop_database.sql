-- Gives the statement that removes database $1 and cuts off whoever is connected.
SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', $1::text)
