-- Discard one dead letter, or return why not.
SELECT verdict, new_id FROM discard_webhook($1, $2, $3, $4)
