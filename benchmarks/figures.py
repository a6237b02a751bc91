"""The arithmetic of the benchmark: medians with ranges, lost and doubled webhooks."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

_FIRST_RATE = 100
_LAST_RATE = 1_600
_RATE_STEP = 50


def latencies_ms(due: Mapping[str, float], ended: Mapping[str, float]) -> list[float]:
    """The time from when each webhook was due until it ended; those that did not end are omitted.

    Counting from the due time includes the wait of a webhook that was sent late because the
    ones before it were slow.
    """
    return [(ended[name] - due[name]) * 1000 for name in due if name in ended]


@dataclass(frozen=True, slots=True)
class Ledger:
    lost: int
    doubled: int


def compare(accepted: Iterable[str], attempts: Mapping[str, int]) -> Ledger:
    """Compare the accepted webhooks with the attempts of those that were finished."""
    counts = [attempts.get(name, 0) for name in accepted]
    return Ledger(counts.count(0), sum(1 for count in counts if count > 1))


def compare_counts(accepted: int, stored: int, connections: int) -> Ledger:
    """Compare counts.

    When the client stops, a request on each connection may still be stored, as may one of the
    warm-up before.
    """
    return Ledger(max(0, accepted - stored), max(0, stored - accepted - 2 * connections))


async def highest_held(
    holds: Callable[[int, float], Awaitable[bool]], probe_s: float, seconds: float
) -> int:
    """Find the highest rate that holds: first by short probes, then for the full `seconds`."""
    good, bad = 0, _FIRST_RATE
    while bad <= _LAST_RATE and await holds(bad, probe_s):
        good, bad = bad, bad * 2
    while bad <= _LAST_RATE and bad - good > _RATE_STEP:
        middle = (good + bad) // (2 * _RATE_STEP) * _RATE_STEP
        good, bad = (middle, bad) if await holds(middle, probe_s) else (good, middle)
    while good > 0 and not await holds(good, seconds):
        good -= _RATE_STEP
    return good


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median, with the range if there is more than one value."""
    text = f"{median(values):,.{digits}f}"
    if len(values) > 1:
        text += f" [{min(values):,.{digits}f}-{max(values):,.{digits}f}]"
    return text


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios, over the rounds that both have."""
    return median(mine / other for mine, other in zip(ours, theirs, strict=False) if other)
