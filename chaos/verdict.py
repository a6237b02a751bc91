"""Compares the ledger of offered webhooks with the log and the effects. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.load.ledger import Offered

COMPLETED = "completed"
DEAD_LETTER = "dead_letter"
DUPLICATE = "duplicate"
FINAL = frozenset({COMPLETED, DEAD_LETTER, DUPLICATE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """The delivery log's data about one webhook."""

    job_id: str
    event: str
    status: str
    attempts: int
    completions: int
    """Attempts that are recorded as completed."""
    finished_at: float | None
    """Seconds since 1970, by the database's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The counts of one run. `lost` and `twice` name the events, so that they can be looked up."""

    offered: int
    accepted: int
    refused: int
    unanswered: int
    finished: int
    lost: tuple[str, ...]
    twice: tuple[str, ...]
    duplicates: int
    dead_letters: int
    wasted_attempts: int
    """Attempts of completed webhooks beyond those that the payloads asked for."""
    gap_s: float
    """The longest time in which nothing was accepted while webhooks were offered."""
    p99_s: float | None
    """The time in which 99 of 100 accepted webhooks were answered, from the start of the fault."""
    resumed_s: float | None
    """From the end of the fault until the next webhook finished; None if none did."""
    recovered_s: float | None
    """From the end of the fault until everything accepted before it was finished."""


def judge(
    offers: Sequence[Offered],
    logged: Iterable[Logged],
    effects: Mapping[str, int] | None,
    *,
    fault_began_at: float | None = None,
    fault_ended_at: float | None = None,
) -> Verdict:
    """Compare the ledger with the log's rows of its events.

    `effects` counts the effects of each event whose handler writes one; None if they are not
    counted. `logged` may have webhooks whose answer the client never saw: they may be finished, but
    not twice.
    """
    rows = {row.job_id: row for row in logged}
    events = _Events(rows.values(), effects)
    accepted = [offer for offer in offers if offer.is_accepted]
    ends = [_row_of(offer, rows) for offer in accepted]
    statuses = Counter(row.status for row in ends if row is not None)
    return Verdict(
        offered=len(offers),
        accepted=len(accepted),
        refused=sum(offer.is_refused for offer in offers),
        unanswered=sum(offer.is_unanswered for offer in offers),
        finished=sum(statuses[status] for status in FINAL),
        lost=_names(
            offer
            for offer, row in zip(accepted, ends, strict=True)
            if row is None or row.status not in FINAL or events.has_no_end(offer)
        ),
        twice=_names(offer for offer in offers if events.ended_twice(offer)),
        duplicates=statuses[DUPLICATE],
        dead_letters=statuses[DEAD_LETTER],
        wasted_attempts=_wasted_attempts(accepted, rows),
        gap_s=longest_gap_s(offers),
        p99_s=percentile_s(offers, 99, since=fault_began_at or 0.0),
        resumed_s=_resumed_s(rows.values(), fault_ended_at),
        recovered_s=_recovered_s(accepted, rows, fault_ended_at),
    )


class _Events:
    """The rows and effects of each event, under all job ids it was stored with."""

    def __init__(self, rows: Iterable[Logged], effects: Mapping[str, int] | None) -> None:
        self._rows: dict[str, list[Logged]] = {}
        for row in rows:
            self._rows.setdefault(row.event, []).append(row)
        self._effects = effects

    def has_no_end(self, offer: Offered) -> bool:
        """Return whether the event is unfinished, or its effect is missing."""
        ends = {row.status for row in self._rows.get(offer.event, [])}
        if COMPLETED in ends:
            is_counted = self._effects is not None and offer.is_written
            return is_counted and not self._count(offer)
        return DEAD_LETTER not in ends

    def ended_twice(self, offer: Offered) -> bool:
        completions = sum(row.completions for row in self._rows.get(offer.event, []))
        return completions > 1 or self._count(offer) > 1

    def _count(self, offer: Offered) -> int:
        return (self._effects or {}).get(offer.event, 0)


def _names(offers: Iterable[Offered]) -> tuple[str, ...]:
    return tuple(sorted({offer.event for offer in offers}))


def _wasted_attempts(accepted: Iterable[Offered], rows: Mapping[str, Logged]) -> int:
    ends = ((offer, _row_of(offer, rows)) for offer in accepted)
    return sum(
        max(0, row.attempts - offer.attempts)
        for offer, row in ends
        if row is not None and row.status == COMPLETED
    )


def _row_of(offer: Offered, rows: Mapping[str, Logged]) -> Logged | None:
    return rows.get(offer.job_id) if offer.job_id is not None else None


def longest_gap_s(offers: Sequence[Offered]) -> float:
    """Give the longest time between two acceptances, the first and the last offer included."""
    if not offers:
        return 0.0
    answers = sorted(
        offer.answered_at for offer in offers if offer.is_accepted and offer.answered_at is not None
    )
    first = min(offer.sent_at for offer in offers)
    last = max(offer.sent_at for offer in offers)
    moments = [first, *answers, max(last, answers[-1] if answers else last)]
    return max(later - earlier for earlier, later in pairwise(moments))


def _resumed_s(rows: Iterable[Logged], fault_ended_at: float | None) -> float | None:
    if fault_ended_at is None:
        return None
    ends = (row.finished_at for row in rows if row.finished_at is not None)
    return min((end - fault_ended_at for end in ends if end > fault_ended_at), default=None)


def _recovered_s(
    accepted: Iterable[Offered], rows: Mapping[str, Logged], fault_ended_at: float | None
) -> float | None:
    """Ignore webhooks whose payload asks for retries; None if something has not ended."""
    if fault_ended_at is None:
        return None
    rows_then = [
        _row_of(offer, rows)
        for offer in accepted
        if offer.attempts == 1 and (offer.answered_at or 0.0) <= fault_ended_at
    ]
    if any(row is None or row.status not in FINAL for row in rows_then):
        return None
    # A dead letter without an attempt has no time.
    ends = [row.finished_at for row in rows_then if row and row.finished_at is not None]
    return max(0.0, max(ends, default=fault_ended_at) - fault_ended_at)


def percentile_s(
    offers: Iterable[Offered],
    percent: float,
    *,
    since: float = -math.inf,
    until: float = math.inf,
) -> float | None:
    """Give the answer time below which this percentage of accepted requests is; None without any.

    Only those sent between the two moments, in seconds since 1970.
    """
    waits = sorted(
        offer.answered_at - offer.sent_at
        for offer in offers
        if offer.is_accepted and offer.answered_at is not None and since <= offer.sent_at <= until
    )
    if not waits:
        return None
    return waits[max(0, math.ceil(len(waits) * percent / 100) - 1)]
