"""Whose webhooks a call sees."""

from dataclasses import replace
from uuid import UUID

from services.metrics.api.call import Call
from services.metrics.api.principal import Principal, Role


def seen_by(call: Call, org_id: UUID | None) -> Call | None:
    """The call as one that sees only `org_id` (None: all it may see); None if it then sees nothing.

    A service that asks for one organisation looks with the eyes of that tenant. So what an
    organisation may see is decided, and made fast, in one place: row level security.
    """
    principal = call.principal
    if org_id is None or org_id == principal.org_id:
        return call
    if principal.role is Role.TENANT:
        return None
    return replace(call, principal=Principal(Role.TENANT, org_id, principal.subject))
