"""Numbers, durations, ids and text from outside, as people read them."""

import unicodedata
from collections.abc import Iterator

from ringback.metrics.v1.admin_service_pb2 import RetryRun, RetryRunKind

_SHORT_ID = 18
"""A UUIDv7's time in milliseconds and 12 random bits: `01a22927-b278-7abc`."""

_SHOWN_AS_0 = 0.05
_KIB = 1024
_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})
_SHOWN = frozenset("\n\t")


def short_id(job_id: str) -> str:
    """The beginning of an id, which search and the terminal accept in its place."""
    return job_id[:_SHORT_ID]


def number(value: float) -> str:
    """`1 234 567`, with narrow spaces; at most one digit after the point; `<0.1` is not 0."""
    if 0 < value < _SHOWN_AS_0:
        return "<0.1"
    text = f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}")


def in_bytes(size: int) -> str:
    """`512 B`, `16.7 kB`, `1.3 MB`: kilobytes of 1,024 bytes."""
    if size < _KIB:
        return f"{size} B"
    if size < _KIB * _KIB:
        return f"{size / _KIB:.1f} kB"
    return f"{size / _KIB / _KIB:.1f} MB"


def visible(text: str) -> Iterator[tuple[str, str]]:
    """Pieces of `text`, each with a name, which is empty for a piece that people see as it is.

    Control characters, changes of text direction and characters without width are pieces of their
    own, as in `("U+202E", "RIGHT-TO-LEFT OVERRIDE")`.
    """
    if text.isprintable():
        yield text, ""
        return
    plain: list[str] = []
    for char in text:
        if char in _SHOWN or unicodedata.category(char) not in _HIDDEN:
            plain.append(char)
            continue
        if plain:
            yield "".join(plain), ""
            plain = []
        yield f"U+{ord(char):04X}", unicodedata.name(char, "control character")
    if plain:
        yield "".join(plain), ""


def in_one_line(text: str) -> str:
    """The same where no mark can be shown, such as in a chat: `a<U+202E>b`."""
    pieces = visible(" ".join(text.split()))
    return "".join(f"<{piece}>" if name else piece for piece, name in pieces)


def run_kind(run: RetryRun) -> str:
    """What a retry run retries."""
    is_replay = run.kind == RetryRunKind.RETRY_RUN_KIND_COMPLETED
    return "Completed webhooks" if is_replay else "Dead letters"


def pace(now: float | None, most: float) -> str:
    """How fast a retry run is, None if it has ended, and how fast it may be, per second."""
    rate = "" if now is None else f"{number(now)} per second now, "
    return f"{rate}{number(most)} per second at most; live traffic has priority"
