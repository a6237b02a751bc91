from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertGroup:
    """The dead letters of one organisation, event type and error class since the last quiet time.

    `told` are announced, `untold` not yet. `example` is the job id of the newest one.
    """

    org_id: UUID
    event_type: str
    error_class: str
    untold: int
    told: int
    example: UUID
    opened_at: datetime
    untold_since: datetime | None
    last_at: datetime
    told_at: datetime | None

    @property
    def key(self) -> "GroupKey":
        return self.org_id, self.event_type, self.error_class


GroupKey = tuple[UUID, str, str]
