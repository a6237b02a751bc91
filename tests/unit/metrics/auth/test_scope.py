import asyncio
from uuid import UUID

import pytest

from services.metrics.auth.access import restrict_to_org
from services.metrics.auth.principal import Principal, Role
from services.metrics.transport.call import Call

ONE, TWO = UUID(int=1), UUID(int=2)


def call_of(role: Role, org_id: UUID | None) -> Call:
    return Call(Principal(role, org_id, "somebody"), 5.0, asyncio.Event())


@pytest.mark.parametrize(
    ("role", "own", "asked", "seen"),
    [
        (Role.SERVICE, None, None, (Role.SERVICE, None)),
        (Role.SERVICE, None, ONE, (Role.TENANT, ONE)),  # with the eyes of that tenant
        (Role.TENANT, ONE, None, (Role.TENANT, ONE)),
        (Role.TENANT, ONE, ONE, (Role.TENANT, ONE)),
        (Role.TENANT, ONE, TWO, None),  # another's: nothing to see
    ],
)
def test_whose_webhooks_are_seen(
    role: Role, own: UUID | None, asked: UUID | None, seen: tuple[Role, UUID | None] | None
) -> None:
    """Filtering by an organisation never shows more than no filter."""
    call = restrict_to_org(call_of(role, own), asked)

    assert (None if call is None else (call.principal.role, call.principal.org_id)) == seen


def test_the_rest_of_the_call_stays() -> None:
    """The deadline and the shutdown signal stay the same."""
    call = call_of(Role.SERVICE, None)

    seen = restrict_to_org(call, ONE)

    assert seen is not None
    assert (seen.deadline, seen.stopping) == (call.deadline, call.stopping)
    assert seen.principal.subject == "somebody"
