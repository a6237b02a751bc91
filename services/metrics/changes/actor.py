from services.metrics.api.principal import Principal


def actor_of(principal: Principal) -> str:
    """Who made the change, for the audit: the token's subject, else the caller's role."""
    return principal.subject.strip() or principal.role.value
