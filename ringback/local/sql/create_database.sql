-- The statement that creates database $1, as a copy of $2 or empty.
-- WAL_LOG writes a small copy into the WAL, while FILE_COPY needs two checkpoints.
SELECT format(
    'CREATE DATABASE %I TEMPLATE %I STRATEGY WAL_LOG', $1::text, coalesce($2::text, 'template1')
)
