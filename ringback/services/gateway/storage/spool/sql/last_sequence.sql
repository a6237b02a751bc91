-- The sequence number of the webhook that this connection stored last.
SELECT last_insert_rowid()
