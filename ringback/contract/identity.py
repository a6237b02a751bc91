"""Job ids: UUIDv7, made by the gateway. The first 48 bits are the time, so ids sort by time."""

import re
from datetime import UTC, datetime, timedelta
from typing import NewType
from uuid import UUID

from uuid_utils import compat

JobId = NewType("JobId", UUID)

_VERSION = 7

#: 9999-12-30. An id can contain a later time than a datetime; asyncpg takes 12-31 for infinity.
_LAST_DAY_MS = 253_402_128_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_BEGINNING = re.compile(
    r"[0-9a-f]{4,32}|[0-9a-f]{8}-([0-9a-f]{0,4}|[0-9a-f]{4}-([0-9a-f]{0,4}|[0-9a-f]{4}-("
    r"[0-9a-f]{0,4}|[0-9a-f]{4}-[0-9a-f]{0,12})))"
)
_DIGITS = 32


def new_job_id(*, at_s: float | None = None) -> JobId:
    """A new id that contains the current time, or `at_s` in seconds since 1970."""
    if at_s is None:
        return JobId(compat.uuid7())
    return JobId(compat.uuid7(nanoseconds=max(0, int(at_s * 1_000_000_000))))


def created_at(job_id: JobId) -> datetime:
    """The time in an id, in UTC, to the millisecond; 9999-12-30 if it is later."""
    milliseconds = min(job_id.int >> 80, _LAST_DAY_MS)
    return _EPOCH + timedelta(milliseconds=milliseconds)


def job_id_of(text: str) -> JobId | None:
    """The job id in a text; None if the text is not a UUIDv7."""
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    return JobId(parsed) if parsed.version == _VERSION else None


def ids_beginning_with(text: str) -> tuple[UUID, UUID] | None:
    """The first and the last id whose text begins with `text`, with or without hyphens.

    None if `text` has less than 4 hexadecimal digits, or is not the beginning of a UUID.
    """
    if not _BEGINNING.fullmatch(text.lower()):
        return None
    digits = text.replace("-", "")
    return UUID(digits.ljust(_DIGITS, "0")), UUID(digits.ljust(_DIGITS, "f"))
