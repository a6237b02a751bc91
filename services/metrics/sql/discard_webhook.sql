-- Resolve one dead letter as not needed, or say why not.
SELECT verdict, new_id FROM discard_webhook($1, $2, $3, $4)
