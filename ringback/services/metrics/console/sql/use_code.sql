-- Delete a code and return whose it was; no row if it is unknown, used or expired.
SELECT role, org_id, subject FROM use_webhook_console_code($1)
