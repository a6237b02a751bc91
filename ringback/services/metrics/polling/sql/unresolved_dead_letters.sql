-- Count the unresolved dead letters, with a function, because this role cannot read webhooks.
SELECT count_unresolved_dead_letters()
