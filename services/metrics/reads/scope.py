"""Which organisation's webhooks a call sees."""

from dataclasses import replace
from uuid import UUID

from services.metrics.api.call import Call
from services.metrics.api.principal import Principal, Role


def seen_by(call: Call, org_id: UUID | None) -> Call | None:
    """Restrict the call to `org_id` (None: no restriction); None if it then sees nothing.

    A service that asks for one organisation reads as that tenant. So row level security is the one
    place that decides what an organisation sees, and makes it fast.
    """
    principal = call.principal
    if org_id is None or org_id == principal.org_id:
        return call
    if principal.role is Role.TENANT:
        return None
    return replace(call, principal=Principal(Role.TENANT, org_id, principal.subject))
