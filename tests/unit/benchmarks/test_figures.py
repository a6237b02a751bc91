"""What the benchmark computes from its measurements."""

import pytest

from benchmarks.figures import (
    Ledger,
    compare,
    compare_counts,
    highest_held,
    latencies_ms,
    paired_ratio,
    spread,
)


def test_a_latency_counts_from_the_due_time() -> None:
    """A webhook that did not end has none; those of other clients are not counted."""
    assert latencies_ms({"a": 10.0, "b": 11.0}, {"a": 10.5, "c": 1.0}) == [500.0]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (compare(["a", "b"], {"a": 1, "b": 1}), Ledger(0, 0)),
        (compare(["a", "b"], {"a": 1}), Ledger(1, 0)),
        (compare(["a", "b"], {"a": 2, "b": 1}), Ledger(0, 1)),
        (compare(["a"], {"a": 1, "earlier": 3}), Ledger(0, 0)),
        # Counts allow for a request of each connection at the stop.
        *(
            (compare_counts(100, stored, connections=8), Ledger(lost, doubled))
            for stored, lost, doubled in ((100, 0, 0), (98, 2, 0), (116, 0, 0), (119, 0, 3))
        ),
    ],
)
def test_lost_and_doubled_webhooks(found: Ledger, expected: Ledger) -> None:
    assert found == expected


def test_figures_of_repeated_runs() -> None:
    """A spread is the median with the range; the ratio is the median of 3, 1 and 0.5."""
    assert spread([1_234.4]) == "1,234"
    assert spread([3.0, 1.0, 2.0], 1) == "2.0 [1.0-3.0]"
    assert paired_ratio([30, 20, 10], [10, 20, 20]) == 1


@pytest.mark.parametrize(
    ("held_shortly", "held_long", "expected"),
    [(640, 640, 600), (640, 480, 450), (70, 70, 50), (20, 20, 0), (9_999, 9_999, 1_600)],
)
async def test_the_highest_rate_holds_for_the_full_time(
    held_shortly: int, held_long: int, expected: int
) -> None:
    async def holds(rate: int, seconds: float) -> bool:  # ruff: ignore[unused-async]
        return rate <= (held_shortly if seconds == 10 else held_long)

    assert await highest_held(holds, probe_s=10, seconds=60) == expected
