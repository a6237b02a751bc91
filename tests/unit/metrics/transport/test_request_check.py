"""Tests for services.metrics.transport.request_check."""

import math
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.v1.admin_service_pb2 import (
    DeadLetterFilter,
    RetryDeliveriesRequest,
    RetryDeliveryRequest,
)
from ringback.metrics.v1.delivery_pb2 import DELIVERY_STATUS_FAILED
from ringback.metrics.v1.metrics_service_pb2 import ListDeliveriesRequest, WatchQueueHealthRequest
from services.metrics.transport.methods import methods_of
from services.metrics.transport.request_check import violations

ORG = "0190f5c4-0000-7000-8000-00000000000a"
METHODS = {method.request_class: method for method in methods_of()}


def found(request: Message) -> list[tuple[str, str]]:
    wrong = violations(METHODS[type(request)], request)
    return [(violation.field, violation.description) for violation in wrong]


def test_a_good_request_has_no_violation() -> None:
    """All fields with suitable values."""
    request = ListDeliveriesRequest(
        page_size=7,
        page_token="abc",
        status=DELIVERY_STATUS_FAILED,
        event_type="hang \N{SNOWMAN}",
        start_time=Timestamp(seconds=0),
        end_time=Timestamp(seconds=253_402_300_799, nanos=999_999_999),
    )

    assert found(request) == []


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"call_id": "a\0b"}, "call_id", "must not contain the character U+0000."),
        ({"page_token": "x" * 2001}, "page_token", "must have at most 2000 characters."),
        ({"status": 99}, "status", "must be one of the values in the contract."),
        ({"status": -1}, "status", "must be one of the values in the contract."),
        (
            {"start_time": Timestamp(seconds=-62_135_596_801)},
            "start_time",
            "must be a time between the years 1 and 9999.",
        ),
        (
            {"end_time": Timestamp(seconds=253_402_300_800)},
            "end_time",
            "must be a time between the years 1 and 9999.",
        ),
        (
            {"end_time": Timestamp(nanos=-1)},
            "end_time",
            "must be a time between the years 1 and 9999.",
        ),
    ],
)
def test_a_value_no_field_can_have_is_reported(
    fields: dict[str, Any], path: str, words: str
) -> None:
    """Before it is used in a query."""
    assert found(ListDeliveriesRequest(**fields)) == [(path, f"{path} {words}")]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_is_a_number(value: float) -> None:
    """An invalid interval would wait forever, or never."""
    assert found(WatchQueueHealthRequest(interval_s=value)) == [
        ("interval_s", "interval_s must be a finite number.")
    ]


def test_nested_messages_are_checked_too() -> None:
    """The path leads to the field."""
    request = RetryDeliveriesRequest(filter=DeadLetterFilter(event_type="\0"))

    assert found(request) == [
        ("reason", "reason is required."),
        ("filter.event_type", "filter.event_type must not contain the character U+0000."),
    ]


@pytest.mark.parametrize(
    ("request_", "path", "words"),
    [
        (ListDeliveriesRequest(page_size=-1), "page_size", "must be at least 0."),
        (WatchQueueHealthRequest(interval_s=0.5), "interval_s", "must be at least 1."),
        (WatchQueueHealthRequest(interval_s=60.5), "interval_s", "must be at most 60."),
        (ListDeliveriesRequest(org_id="acme"), "org_id", "must be a UUID"),
        (ListDeliveriesRequest(org_id=f"{ORG}\n"), "org_id", "must be a UUID"),
        (ListDeliveriesRequest(org_id=ORG.replace("-", "")), "org_id", "must be a UUID"),
        (ListDeliveriesRequest(org_id=f"{{{ORG}}}"), "org_id", "must be a UUID"),
        (RetryDeliveryRequest(job_id=ORG, request_id="1"), "request_id", "must be a UUID"),
    ],
)
def test_the_rules_of_the_contract_are_checked(request_: Message, path: str, words: str) -> None:
    """A value is accepted as the OpenAPI document describes it."""
    [(field, text)] = found(request_)

    assert field == path
    assert text.startswith(f"{path} {words}")


def test_limits_are_inclusive() -> None:
    """Bounds belong to the range, and a field that is absent is not out of it."""
    for interval_s in (0, 1, 60):
        assert found(WatchQueueHealthRequest(interval_s=interval_s)) == []
    assert found(ListDeliveriesRequest(page_size=2**31 - 1, org_id=ORG.upper())) == []


def test_a_required_field_must_not_be_blank() -> None:
    """Empty and blank are as good as absent."""
    assert found(RetryDeliveryRequest()) == found(RetryDeliveryRequest(job_id=" "))
    assert found(RetryDeliveryRequest()) == [("job_id", "job_id is required.")]
