-- Run one completed webhook once more, or return why not.
SELECT verdict, new_id, altered, published_at
FROM replay_webhook($1, $2, $3, $4, $5, $6, $7, $8::jsonb)
