-- The statements that create login $1, a member of role $2, if it is missing, and set its
-- password to $3.
SELECT step, statement
FROM (
    SELECT 1 AS step, format('CREATE ROLE %I LOGIN IN ROLE %I', $1::text, $2::text) AS statement
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1::text)
    UNION ALL
    SELECT 2, format('ALTER ROLE %I PASSWORD %L', $1::text, $3::text)
) AS steps
ORDER BY step
