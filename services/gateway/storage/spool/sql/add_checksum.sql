-- Upgrades a file of layout version 0.
ALTER TABLE spooled ADD COLUMN checksum INTEGER
