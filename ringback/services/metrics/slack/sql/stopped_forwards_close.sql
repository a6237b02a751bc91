-- Delete the notices of the forwards $2, stopped at $3, if $1 has the lease.
SELECT close_webhook_forward_notices($1, $2, $3)
