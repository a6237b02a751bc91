-- Gives the statement that makes database $1, as a copy of $2 or empty.
-- WAL_LOG writes a small copy into the log, where FILE_COPY asks for two checkpoints.
SELECT format(
    'CREATE DATABASE %I TEMPLATE %I STRATEGY WAL_LOG', $1::text, coalesce($2::text, 'template1')
)
