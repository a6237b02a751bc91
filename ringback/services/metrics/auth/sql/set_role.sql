-- For this transaction: the caller's role, its organisation (empty: no organisation), and the
-- statement timeout in milliseconds.
SELECT set_config('role', $1, true),
       set_config('ringback.org_id', $2, true),
       set_config('statement_timeout', $3, true)
