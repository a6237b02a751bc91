-- End the lease of $2 on this run; then another replica continues at once.
UPDATE webhook_retry_runs SET leased_until = NULL WHERE id = $1 AND lease_owner = $2
