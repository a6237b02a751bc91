"""Tests for ringback.contract.telemetry."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.telemetry import (
    KNOWN_EVENT_TYPES,
    OTHER_EVENT_TYPE,
    LogEvent,
    Metric,
    event_type_label,
)


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
    assert Metric.ACCEPTED == "webhook_total"
    assert Metric.COMPLETED == "webhook_completed_total"
    assert Metric.PROCESSING_SECONDS == "webhook_processing_duration_seconds"
    assert Metric.DEAD_LETTER_QUEUE_SIZE == "webhook_dead_letter_queue_size"


@pytest.mark.parametrize(
    ("names", "shape"),
    [(Metric, r"[a-z][a-z0-9_]*"), (LogEvent, r"[a-z][a-z_]*\.[a-z][a-z_]*")],
)
def test_names_are_unique_and_of_one_shape(names: type, shape: str) -> None:
    """A name stands for one thing, and is written as its readers expect."""
    values = [value for name, value in vars(names).items() if name.isupper()]

    assert values
    assert len(set(values)) == len(values)
    assert all(re.fullmatch(shape, value) for value in values)
