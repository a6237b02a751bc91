-- Delete the row of this processor when it stops.
DELETE FROM webhook_processors WHERE id = $1
