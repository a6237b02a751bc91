-- Whether the suite's handlers were ever set up in this database.
SELECT to_regclass('chaos.effects') IS NOT NULL
