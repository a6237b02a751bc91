-- Unresolved dead letters. A function, because the service's own role cannot see webhooks.
SELECT count_unresolved_dead_letters()
