-- Our passwords are random: hashing them many times would only make each connection slower.
-- PostgreSQL 15 has no such setting.
SELECT set_config('scram_iterations', '1', false)
FROM pg_settings
WHERE name = 'scram_iterations';
