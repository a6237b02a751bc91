"""Tests for ringback.contract.telemetry."""

import re
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.event import InvalidEvent
from ringback.contract.telemetry import (
    KNOWN_EVENT_TYPES,
    OTHER_EVENT_TYPE,
    all_log_events,
    all_metrics,
    event_type_label,
)
from ringback.contract.telemetry.all_services import COMMON_FIELDS, ERROR_FIELD, LOG_FIELDS
from ringback.contract.telemetry.as_markdown import as_markdown
from ringback.contract.telemetry.gateway import NOT_CONFIRMED, NOT_SPOOLED, REJECTION_REASONS
from ringback.contract.telemetry.metrics_service import GRPC_CODES
from ringback.contract.telemetry.spec import Kind
from ringback.services.gateway.endpoints.credentials import Reason
from ringback.services.gateway.http import rejection
from ringback.services.gateway.storage.result import PublishOutcome, SpoolOutcome


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
    """A type that Vapi documents has its own label, its variants don't."""
    assert event_type_label(event_type) == label


@given(st.text())
def test_labels_are_bounded(event_type: str) -> None:
    """No input creates a new series."""
    assert event_type_label(event_type) in KNOWN_EVENT_TYPES | {OTHER_EVENT_TYPE}


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        ([metric.name for metric in all_metrics()], r"[a-z][a-z0-9_]*"),
        ([str(event) for event in all_log_events()], r"[a-z][a-z_]*\.[a-z][a-z_]*"),
    ],
)
def test_names_are_unique_and_of_one_shape(names: list[str], shape: str) -> None:
    """A name has one meaning, and the form that its readers expect."""
    assert names
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(shape, name) for name in names)


def test_a_metric_is_named_for_its_unit_and_kind() -> None:
    """Counters end in `_total`, and nothing else does; only histograms have buckets, in order."""
    for metric in all_metrics():
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert (metric.buckets is not None) == (metric.kind is Kind.HISTOGRAM)
        assert list(metric.buckets or ()) == sorted(set(metric.buckets or ()))
        assert metric.help.endswith(".")
        assert metric.services


def test_every_field_is_told_of() -> None:
    """Exactly the fields with a documented meaning are used in log lines."""
    used = {name for event in all_log_events() for name in event.fields}

    assert used == set(LOG_FIELDS)
    assert not used & {*COMMON_FIELDS, ERROR_FIELD}


def test_the_reasons_of_refusals_are_those_of_the_gateway() -> None:
    """The contract lists the words that the gateway uses."""
    fixed = {one.reason for one in vars(rejection).values() if isinstance(one, rejection.Rejection)}
    reasons = fixed - {rejection.NOT_STORED.reason}
    not_confirmed = {outcome.value for outcome in PublishOutcome} - {"confirmed"}

    not_spooled = {outcome.value for outcome in SpoolOutcome} - {"spooled"}
    unreadable = {why.name.lower() for why in InvalidEvent}

    by_endpoint = {reason.value for reason in Reason} | {
        rejection.endpoint_disabled("a").reason,
        rejection.event_type_not_allowed("a", "hang").reason,
        rejection.wrong_network("a", "::1").reason,
        rejection.WRONG_CLIENT,
        rejection.WRONG_TOKEN_REQUEST,
    }

    assert reasons | not_confirmed | not_spooled | unreadable | by_endpoint == set(
        REJECTION_REASONS
    )
    assert (set(NOT_CONFIRMED), set(NOT_SPOOLED)) == (not_confirmed, not_spooled)


def test_the_codes_are_those_of_grpc() -> None:
    """The contract has no gRPC of its own to ask."""
    assert {code.name for code in grpc.StatusCode} == set(GRPC_CODES)


PAGE = Path(__file__).parents[3] / "docs" / "telemetry.md"


def test_the_page_is_that_of_the_declarations() -> None:
    """After changing a declaration, run `make generate`."""
    assert PAGE.read_text() == as_markdown(), "docs/telemetry.md is stale: run `make generate`"
