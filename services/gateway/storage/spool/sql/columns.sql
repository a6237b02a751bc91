-- The columns of this file's table of webhooks.
SELECT name FROM pragma_table_info('spooled')
