-- Run one duplicate as its own webhook, or return why not.
SELECT verdict, new_id, altered, published_at, duplicate_of
FROM run_duplicate_webhook($1, $2, $3, $4, $5, $6, $7, $8::jsonb)
