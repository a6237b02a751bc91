-- The position of the webhook that was stored last on this connection.
SELECT last_insert_rowid()
