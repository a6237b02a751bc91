-- This processor ends.
DELETE FROM webhook_processors WHERE id = $1
