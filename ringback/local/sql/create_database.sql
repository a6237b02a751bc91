-- The statement that creates database $1, as a copy of $2 or empty, with the strategy $3.
SELECT format(
    'CREATE DATABASE %I TEMPLATE %I STRATEGY %s',
    $1::text, coalesce($2::text, 'template1'), $3::text
)
