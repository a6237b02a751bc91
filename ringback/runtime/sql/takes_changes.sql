-- Whether this session can change anything: a standby, and a database set to read only, cannot.
SELECT current_setting('transaction_read_only') = 'off'
