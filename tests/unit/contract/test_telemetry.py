"""Tests for ringback.contract.telemetry."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.telemetry import (
    KNOWN_EVENT_TYPES,
    OTHER_EVENT_TYPE,
    Metric,
    event_type_label,
)
from ringback.contract.telemetry.log_events import all_log_events
from ringback.contract.telemetry.metrics import all_metrics


@pytest.mark.parametrize(
    ("event_type", "label"),
    [
        ("transcript", "transcript"),
        ('transcript[transcriptType="final"]', "transcript"),
        ("tool-calls", "tool-calls"),
        ("Tool-Calls", "other"),
        ("an invention", "other"),
        ("", "other"),
    ],
)
def test_known_types_have_a_label(event_type: str, label: str) -> None:
    """A type that the platform documents is told apart, its variants are not."""
    assert event_type_label(event_type) == label


@given(st.text())
def test_labels_are_bounded(event_type: str) -> None:
    """Whatever a stranger sends, it makes no new series."""
    assert event_type_label(event_type) in KNOWN_EVENT_TYPES | {OTHER_EVENT_TYPE}


def test_the_old_names_stand() -> None:
    """Dashboards out there ask for these four."""
    assert Metric.ACCEPTED.name == "webhook_total"
    assert Metric.COMPLETED.name == "webhook_completed_total"
    assert Metric.PROCESSING_SECONDS.name == "webhook_processing_duration_seconds"
    assert Metric.DEAD_LETTER_QUEUE_SIZE.name == "webhook_dead_letter_queue_size"


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        ([metric.name for metric in all_metrics()], r"[a-z][a-z0-9_]*"),
        ([str(event) for event in all_log_events()], r"[a-z][a-z_]*\.[a-z][a-z_]*"),
    ],
)
def test_names_are_unique_and_of_one_shape(names: list[str], shape: str) -> None:
    """A name stands for one thing, and is written as its readers expect."""
    assert names
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(shape, name) for name in names)
