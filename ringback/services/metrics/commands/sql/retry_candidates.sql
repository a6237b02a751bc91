-- The next dead letters of a retry run, oldest first.
SELECT id FROM matching_dead_letters($1, $2, $3, $4, $5, $6, $7)
ORDER BY id
LIMIT $8
