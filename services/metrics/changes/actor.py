from services.metrics.api.principal import Principal


def actor_of(principal: Principal) -> str:
    """Who did it, for the audit: what the token calls the caller, else its role."""
    return principal.subject.strip() or principal.role.value
