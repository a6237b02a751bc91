from services.metrics.api.principal import Principal, Role
from services.metrics.changes.actor import actor_of


def test_the_audit_names_the_subject_else_the_role() -> None:
    """A line without a name would be of nobody."""
    assert actor_of(Principal(Role.SERVICE, None, " ada ")) == "ada"
    assert actor_of(Principal(Role.SERVICE, None, " ")) == "service"
