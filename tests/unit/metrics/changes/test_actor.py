from services.metrics.api.principal import Principal, Role
from services.metrics.changes.actor import actor_of


def test_the_audit_names_the_subject_else_the_role() -> None:
    """An audit line always has a name."""
    assert actor_of(Principal(Role.SERVICE, None, " ada ")) == "ada"
    assert actor_of(Principal(Role.SERVICE, None, " ")) == "service"
