-- Dead letters that wait for a person. A function, because the service's own role sees no webhook.
SELECT count_unresolved_dead_letters()
