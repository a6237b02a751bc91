"""What a fault is: how it starts and ends, and what must be true meanwhile."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from chaos.load.webhook import Mix
from chaos.stage import Stage

Strike: TypeAlias = Callable[[Stage], AbstractAsyncContextManager[None]]
"""Entering starts the fault, leaving ends it and repairs what it broke.

It may check more promises than the counts: each broken one is a sentence in `stage.complaints`.
"""


class Part(StrEnum):
    """What a fault affects. In the mix no two faults affect the same part at once."""

    GATEWAY = "gateway"
    PROCESSOR = "processor"
    METRICS = "metrics"
    BROKER = "broker"
    DATABASE = "database"
    DISK = "disk"
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
    may_bury: bool = False
    """Whether webhooks of the load may end as dead letters."""
    may_burn: bool = False
    """Whether webhooks may need more attempts than their payloads ask for."""
    resumes_within_s: float | None = None
    """How soon after its end a webhook must finish again."""
    mix: Mix = field(default_factory=Mix)
    is_mixed: bool = True
    """Whether it can start at any moment, beside others."""
