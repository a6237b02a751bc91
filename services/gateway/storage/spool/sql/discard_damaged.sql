-- A damaged row that a person has looked at.
DELETE FROM damaged WHERE seq = ?
