-- Retry one dead letter, or return why not.
SELECT verdict, new_id, altered, published_at
FROM retry_webhook($1, $2, $3, $4, $5, $6, $7, $8::jsonb)
