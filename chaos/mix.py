"""Which faults start when in a mix: the same seed gives the same plan. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.fault import Fault, Part

_LONGEST_PAUSE_S = 6.0
_SETTLES_S = 12.0
"""How long a part rests after its fault: a killed node needs that to recover."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault: its start in seconds after the beginning, and its duration."""

    fault: Fault
    at_s: float
    hold_s: float


def plan(faults: Sequence[Fault], *, seed: int, seconds: float) -> list[Strike]:
    """Spread faults over the time: at most two parts at once, and no part twice at once."""
    # ruff: ignore[suspicious-non-cryptographic-random-usage]  # a plan to be repeated is no secret
    chance = random.Random(seed)
    mixed = [fault for fault in faults if fault.is_mixed]
    busy_until: dict[Part, float] = {}
    strikes: list[Strike] = []
    now = 0.0
    while True:
        now += chance.uniform(0.5, _LONGEST_PAUSE_S)
        if now >= seconds:
            return strikes
        free = [fault for fault in mixed if busy_until.get(fault.part, 0.0) <= now]
        # Two are running: the next one waits.
        if sum(until - _SETTLES_S > now for until in busy_until.values()) > 1 or not free:
            continue
        fault = chance.choice(free)
        hold_s = min(fault.hold_s, max(0.0, seconds - now))
        strikes.append(Strike(fault, now, hold_s))
        busy_until[fault.part] = now + hold_s + _SETTLES_S
