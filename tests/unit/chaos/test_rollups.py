"""Tests for chaos.rollups: it reports each wrong count and no right one."""

from typing import Any

import pytest

from chaos.rollups import compare
from ringback.metrics.v1.metrics_service_pb2 import DeliverySummary

TOTALS = {
    "completed": 90,
    "failed": 0,
    "dead_letter": 4,
    "pending": 0,
    "duplicate": 6,
    "accepted": 100,
    "deficit": 0,
    "days_ahead": 7,
}
SUMMARY = DeliverySummary(completed=90, dead_letter=4)


def test_right_counts_give_no_sentence() -> None:
    """Duplicates are in the ledger, and not in the summaries."""
    assert list(compare(TOTALS, [SUMMARY, SUMMARY], 100)) == []
    assert list(compare(TOTALS, [SUMMARY, SUMMARY], 99, 1)) == []


@pytest.mark.parametrize(
    ("wrong", "accepted", "sentence"),
    [
        ({"completed": 91}, 100, "Metrics service 1 counts 90 completed, the log 91."),
        ({"pending": 1}, 100, "Metrics service 1 counts 0 pending, the log 1."),
        ({"accepted": 99}, 100, "The ledger counts 99 accepted webhooks, the clients 100."),
        ({"deficit": 3}, 100, "3 accepted webhooks have no row."),
        ({"days_ahead": 2}, 100, "Only the next 2 days have partitions."),
        ({}, 101, "The ledger counts 100 accepted webhooks, the clients 101."),
    ],
)
def test_each_wrong_count_gives_a_sentence(
    wrong: dict[str, Any], accepted: int, sentence: str
) -> None:
    assert list(compare(TOTALS | wrong, [SUMMARY], accepted)) == [sentence]
