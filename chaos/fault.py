"""What a fault is: how it starts and ends, and what must be true meanwhile."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from chaos.load.webhook import Mix
from chaos.stage import Stage
from chaos.verdict import Verdict

_NAMED_EVENTS = 5

Strike: TypeAlias = Callable[[Stage], AbstractAsyncContextManager[None]]
"""Entering starts the fault, leaving ends it and repairs what it broke.

It may check more promises than the counts: each broken one is a sentence in `stage.complaints`.
"""


Step: TypeAlias = Callable[[Stage], Awaitable[object] | None]


def between(begin: Step, end: Step) -> Strike:
    """Start a fault by `begin`, and repair it by `end`."""

    @asynccontextmanager
    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        if (beginning := begin(stage)) is not None:
            await beginning
        try:
            yield
        finally:
            if (ending := end(stage)) is not None:
                await ending

    return strike


class Part(StrEnum):
    """What a fault affects. In the mix no two faults affect the same part at once."""

    GATEWAY = "gateway"
    PROCESSOR = "processor"
    METRICS = "metrics"
    BROKER = "broker"
    DATABASE = "database"
    CLIENTS = "clients"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, with what it may cost; all other costs must be 0."""

    name: str
    sentence: str
    part: Part
    strike: Strike
    hold_s: float = 0.0
    """How long it lasts. Some take extra time to start or end."""
    may_refuse: bool = False
    """Whether webhooks may be refused: only if the spool itself cannot work."""
    may_not_answer: bool = False
    """Whether requests may go unanswered: if the only gateway is down, or its link."""
    may_dead_letter: bool = False
    """Whether webhooks of the load may end as dead letters."""
    may_use_attempts: bool = False
    """Whether webhooks may need more attempts than their payloads ask for."""
    resumes_within_s: float | None = None
    """How soon after its end a webhook must finish again."""
    mix: Mix = field(default_factory=Mix)
    is_mixed: bool = True
    """Whether it can start at any moment, beside others."""


def broken_promises(fault: Fault, verdict: Verdict) -> list[str]:
    """Give a sentence for each wrong count; empty if all are right."""
    broken = []
    if not verdict.accepted:
        broken.append("No webhook was accepted, so the run proves nothing.")
    if verdict.lost:
        broken.append(f"Lost: {_some(verdict.lost)}.")
    if verdict.twice:
        broken.append(f"Finished twice: {_some(verdict.twice)}.")
    if verdict.refused and not fault.may_refuse:
        broken.append(f"{verdict.refused} refused, although the spool works.")
    if verdict.unanswered and not fault.may_not_answer:
        broken.append(f"{verdict.unanswered} requests got no answer.")
    if verdict.dead_letters and not fault.may_dead_letter:
        broken.append(f"{verdict.dead_letters} became dead letters because of our own outage.")
    if verdict.wasted_attempts and not fault.may_use_attempts:
        broken.append(f"{verdict.wasted_attempts} attempts were used up by our own outage.")
    return broken + _too_late(fault.resumes_within_s, verdict.resumed_s)


def _too_late(wanted_s: float | None, resumed_s: float | None) -> list[str]:
    if wanted_s is None or (resumed_s is not None and resumed_s <= wanted_s):
        return []
    after = "never" if resumed_s is None else f"after {resumed_s:.1f} s"
    return [f"Processing resumed {after}, not within {wanted_s:g} s."]


def _some(events: Sequence[str]) -> str:
    rest = len(events) - _NAMED_EVENTS
    return ", ".join(events[:_NAMED_EVENTS]) + (f" and {rest} more" if rest > 0 else "")
