-- Deletes a damaged row.
DELETE FROM damaged WHERE seq = ?
