"""Times as RFC 3339 writes them, in UTC: `2026-01-27T06:30:00.000Z`."""

import re
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The first and the last second of a Timestamp: of the years 1 and 9999.
_FIRST_S = -62_135_596_800
_LAST_S = 253_402_300_799
_SHAPE = re.compile(
    r"""
    (?P<date>\d{4}-\d\d-\d\d)[Tt](?P<time>\d\d:\d\d:\d\d)
    (?:\.(?P<fraction>\d{1,9}))?
    (?P<offset>[Zz]|[+-]\d\d:\d\d)
    """,
    re.VERBOSE | re.ASCII,
)


def time_text(moment: Timestamp) -> str:
    """Milliseconds; microseconds or nanoseconds if they are not 0."""
    whole = (_EPOCH + timedelta(seconds=moment.seconds)).isoformat().removesuffix("+00:00")
    fraction = f"{moment.nanos:09d}"
    while len(fraction) > len("000") and fraction.endswith("000"):
        fraction = fraction.removesuffix("000")
    return f"{whole}.{fraction}Z"


def read_time(text: str) -> Timestamp | None:
    """The moment; None if the text is not a time, or is outside the years 1 to 9999."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return None
    offset = match["offset"].upper().replace("Z", "+00:00")
    try:
        since = datetime.fromisoformat(f"{match['date']}T{match['time']}{offset}") - _EPOCH
    except ValueError:
        return None
    moment = Timestamp(
        seconds=since // timedelta(seconds=1), nanos=int((match["fraction"] or "0").ljust(9, "0"))
    )
    return moment if _FIRST_S <= moment.seconds <= _LAST_S else None
