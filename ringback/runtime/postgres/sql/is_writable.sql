-- Whether this session can write, unlike one on a standby or a read-only database.
SELECT current_setting('transaction_read_only') = 'off'
