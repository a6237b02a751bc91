"""Job ids: UUIDv7, made by the gateway. The first 48 bits are the time, so ids sort by time."""

from datetime import UTC, datetime, timedelta
from typing import NewType
from uuid import UUID

from uuid_utils import compat

JobId = NewType("JobId", UUID)

_VERSION = 7

#: The last millisecond that a datetime can tell; the 48 bits of an id reach further.
_LAST_MS = 253_402_300_799_999


def new_job_id() -> JobId:
    """A fresh id that carries the present time."""
    return JobId(compat.uuid7())


def created_at(job_id: JobId) -> datetime:
    """The time that an id carries, in UTC, to the millisecond."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=job_id.int >> 80)


def job_id_of(text: str) -> JobId | None:
    """The job id in a text; None if the text is not a UUIDv7 of a year up to 9999."""
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    is_ours = parsed.version == _VERSION and parsed.int >> 80 <= _LAST_MS
    return JobId(parsed) if is_ours else None
