"""The webhooks of the load. Pure: the same run and number give the same bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson

RESENT_EVERY = 25
_RESENT_AFTER = 7
_PADDING = "x" * 700
_TIMESTAMP_MS = 1_767_225_600_000
"""Without a time in it, an event of an unknown type is never a duplicate."""


class Kind(StrEnum):
    """The event types of a chaos run. Calls never send them."""

    #: Its handler writes its effect in the finishing transaction.
    WRITTEN = "ringback.chaos.written"
    #: Its handler has effects outside the database.
    PLAIN = "ringback.chaos.plain"
    #: As WRITTEN, and with its own retry schedule, so that a failed attempt waits in PostgreSQL.
    WAITING = "ringback.chaos.waiting"
    #: As `WRITTEN`, and the webhooks of a call have an order. No load sends it.
    ORDERED = "ringback.chaos.ordered"
    #: It has no handler.
    LIGHT = "ringback.chaos.light"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """The kinds of webhooks. Of every ten, `failing_in_ten` fail twice before they succeed.

    With `is_calling`, all are of one kind, and their handler calls the shop (chaos/shop.py).
    """

    failing_in_ten: int = 1
    is_resending: bool = True
    is_calling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One request. `event` is the call id: requests with the same one carry the same event."""

    event: str
    kind: Kind
    attempts: int
    body: bytes


def special(event: str, kind: Kind, *, padding_bytes: int = 0, **plan: float) -> bytes:
    """The body of one event with a special task for its handler, or of a large one."""
    return _body(event, kind, plan, padding="x" * padding_bytes or _PADDING)


def webhook(run: str, number: int, mix: Mix) -> Webhook:
    """Make the request with this number, from 0. Some repeat an earlier one, byte by byte."""
    if mix.is_resending and number % RESENT_EVERY == RESENT_EVERY - 1:
        number -= _RESENT_AFTER
    event = f"{run}-{number}"
    # Spread evenly, so that a short load has all kinds.
    kind = (Kind.WRITTEN, Kind.PLAIN, Kind.WRITTEN, Kind.LIGHT, Kind.WRITTEN)[number % 5]
    if mix.is_calling:
        body = _body(event, Kind.PLAIN, {"calls": True})
        return Webhook(event=event, kind=Kind.PLAIN, attempts=1, body=body)
    is_failing = kind is not Kind.LIGHT and (number // 5) % 10 < mix.failing_in_ten
    attempts = 3 if is_failing else 1
    body = _body(event, kind, {"failUntilAttempt": attempts})
    return Webhook(event=event, kind=kind, attempts=attempts, body=body)


def _body(event: str, kind: Kind, plan: Mapping[str, float], *, padding: str = _PADDING) -> bytes:
    message = {
        "type": kind,
        "timestamp": _TIMESTAMP_MS,
        "call": {"id": event},
        "chaos": plan,
        "padding": padding,
    }
    return orjson.dumps({"message": message})
