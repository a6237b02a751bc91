"""The authenticated caller."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """The values of the claim `role`."""

    #: One organisation: sees and changes only its own data.
    TENANT = "tenant"
    #: A service or a person of the installation: sees and changes everything.
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller with a valid token. A tenant has an org; a service has none."""

    role: Role
    org_id: UUID | None
    #: The claim `sub`, for the audit.
    subject: str

    @property
    def actor(self) -> str:
        """Who made a change, for the audit: the token's subject, else the caller's role."""
        return self.subject.strip() or self.role.value


RINGBACK = Principal(Role.SERVICE, None, "ringback")
"""Ringback itself, for work in the background."""
