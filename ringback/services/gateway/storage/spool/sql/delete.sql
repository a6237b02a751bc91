-- Deletes a webhook that the broker has confirmed.
DELETE FROM spooled WHERE seq = ?
