-- The columns that this file's table of webhooks has.
SELECT name FROM pragma_table_info('spooled')
