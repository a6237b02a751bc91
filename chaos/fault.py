"""What a fault is: how it is put and taken away, and what must hold meanwhile."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from chaos.load.webhook import Mix
from chaos.stage import Stage

Strike: TypeAlias = Callable[[Stage], AbstractAsyncContextManager[None]]
"""Entering puts the fault, leaving takes it away and brings back what it broke.

What a fault promises beyond the counts it looks at itself: a sentence in `stage.complaints` for
each that was broken.
"""


class Part(StrEnum):
    """What a fault lays hands on. In the mix no two faults hold the same part at once."""

    GATEWAY = "gateway"
    PROCESSOR = "processor"
    METRICS = "metrics"
    BROKER = "broker"
    DATABASE = "database"
    DISK = "disk"
    CLIENTS = "clients"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong. What it may cost stands here; all else must be 0."""

    name: str
    sentence: str
    part: Part
    strike: Strike
    hold_s: float = 0.0
    """How long it stays. Some take their own time to be put or taken away."""
    may_refuse: bool = False
    """Whether webhooks may be refused: only where the spool itself cannot work."""
    may_not_answer: bool = False
    """Whether requests may go unanswered: where the only gateway is gone, or its link."""
    may_bury: bool = False
    """Whether webhooks of the load may end as dead letters."""
    may_burn: bool = False
    """Whether webhooks may need more attempts than their payloads ask for."""
    resumes_within_s: float | None = None
    """How soon after its end something must have been finished again."""
    mix: Mix = field(default_factory=Mix)
    is_mixed: bool = True
    """Whether it can come at any moment, beside others."""
