# ruff: file-ignore[implicit-namespace-package] - read by a program that is no package.
"""Ringback's service level objectives, as ratios of bad events to all events."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ringback.contract.telemetry.gateway import NOT_CONFIRMED, NOT_SPOOLED
from ringback.contract.thresholds import FINISH_SECONDS

OUR_FAULTS: Final = ("busy", "internal_error", *NOT_CONFIRMED, *NOT_SPOOLED)
"""Why a good webhook is refused: these are answered by 503 or 500, the others by 4xx."""

Sum = Callable[[str, str], str]
"""PromQL that counts events: the arguments are `rate` or `increase`, and a window such as `5m`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """`target` is the share of good events, as text; `alert` is the name of both its alerts."""

    name: str
    alert: str
    promise: str
    target: str
    bad: Sum
    total: Sum
    service: str = "ringback"

    @property
    def sloth_id(self) -> str:
        return f"{self.service}-{self.name}"

    @property
    def percent(self) -> str:
        return f"{float(self.target) * 100:g}"


def _refused_by_our_fault(function: str, window: str) -> str:
    reasons = "|".join(OUR_FAULTS)
    return f'sum({function}(webhook_rejected_total{{reason=~"{reasons}"}}[{window}]))'


def _accepted_or_so_refused(function: str, window: str) -> str:
    accepted = f"sum({function}(webhook_total[{window}]))"
    return f"{accepted} + {_refused_by_our_fault(function, window)}"


def _ended(function: str, window: str) -> str:
    return f"sum({function}(webhook_finish_delay_seconds_count[{window}]))"


def _ended_late_or_given_up(function: str, window: str) -> str:
    in_time = f'outcome!="dead_letter", le="{FINISH_SECONDS}"'
    return (
        f"{_ended(function, window)}"
        f" - sum({function}(webhook_finish_delay_seconds_bucket{{{in_time}}}[{window}]))"
    )


OBJECTIVES: Final = (
    Objective(
        name="gateway-availability",
        alert="RingbackAvailabilityBudgetBurns",
        promise="99.9 % of valid webhooks must be accepted.",
        target="0.999",
        bad=_refused_by_our_fault,
        total=_accepted_or_so_refused,
    ),
    Objective(
        name="finished-in-time",
        alert="RingbackInTimeBudgetBurns",
        promise="99 % of accepted webhooks must be completed within 60 seconds.",
        target="0.99",
        bad=_ended_late_or_given_up,
        total=_ended,
    ),
)
