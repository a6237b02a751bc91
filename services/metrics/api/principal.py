"""Who calls."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """The words of the claim `role`."""

    #: One organisation: sees and changes what is its own.
    TENANT = "tenant"
    #: A service or a person of the installation: sees and changes everything.
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was found good. A tenant has an org; a service has none."""

    role: Role
    org_id: UUID | None
    #: The claim `sub`, for the audit: who did it.
    subject: str
