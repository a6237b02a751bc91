"""Tests for ringback.services.metrics.transport.request_check."""

import math

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
from ringback.services.metrics.transport.methods import methods_of
from ringback.services.metrics.transport.request_check import violations

ORG = "0190f5c4-0000-7000-8000-00000000000a"
METHODS = {method.request_class: method for method in methods_of()}


def found(request: Message) -> list[tuple[str, str]]:
    wrong = violations(METHODS[type(request)], request)
    return [(violation.field, violation.description) for violation in wrong]


GOOD = ListDeliveriesRequest(
    page_size=2**31 - 1,
    page_token="abc",
    status=DELIVERY_STATUS_FAILED,
    event_type="hang \N{SNOWMAN}",
    org_id=ORG.upper(),
    start_time=Timestamp(seconds=0),
    end_time=Timestamp(seconds=253_402_300_799, nanos=999_999_999),
)


@pytest.mark.parametrize(
    "request_", [GOOD, *(WatchQueueHealthRequest(interval_s=limit) for limit in (0, 1, 60))]
)
def test_a_good_request_has_no_violation(request_: Message) -> None:
    """Bounds belong to the range, and a field that is absent is not out of it."""
    assert found(request_) == []


YEARS = "must be a time between the years 1 and 9999."
VALUES = "must be one of the values in the contract."
UUID = "must be a UUID"


@pytest.mark.parametrize(
    ("request_", "path", "words"),
    [
        # No field can have these values; they are checked before they are used in a query.
        (
            ListDeliveriesRequest(call_id="a\0b"),
            "call_id",
            "must not contain the character U+0000.",
        ),
        (ListDeliveriesRequest(page_token="x" * 2001), "page_token", "must have at most 2000"),
        (ListDeliveriesRequest(status=99), "status", VALUES),  # type: ignore[arg-type]
        (ListDeliveriesRequest(status=-1), "status", VALUES),  # type: ignore[arg-type]
        (ListDeliveriesRequest(start_time=Timestamp(seconds=-62_135_596_801)), "start_time", YEARS),
        (ListDeliveriesRequest(end_time=Timestamp(seconds=253_402_300_800)), "end_time", YEARS),
        (ListDeliveriesRequest(end_time=Timestamp(nanos=-1)), "end_time", YEARS),
        # An invalid interval would wait forever, or never.
        *(
            (WatchQueueHealthRequest(interval_s=value), "interval_s", "must be a finite number.")
            for value in (math.nan, math.inf, -math.inf)
        ),
        # The rules of the contract: a value is accepted as the OpenAPI document describes it.
        (ListDeliveriesRequest(page_size=-1), "page_size", "must be at least 0."),
        (WatchQueueHealthRequest(interval_s=0.5), "interval_s", "must be at least 1."),
        (WatchQueueHealthRequest(interval_s=60.5), "interval_s", "must be at most 60."),
        *(
            (ListDeliveriesRequest(org_id=text), "org_id", UUID)
            for text in ("acme", f"{ORG}\n", ORG.replace("-", ""), f"{{{ORG}}}")
        ),
        (RetryDeliveryRequest(job_id=ORG, request_id="1"), "request_id", UUID),
        # A required field must not be blank.
        (RetryDeliveryRequest(), "job_id", "is required."),
        (RetryDeliveryRequest(job_id=" "), "job_id", "is required."),
    ],
)
def test_an_invalid_value_is_reported(request_: Message, path: str, words: str) -> None:
    [(field, text)] = found(request_)

    assert field == path
    assert text.startswith(f"{path} {words}")


def test_nested_messages_are_checked_too() -> None:
    """The path leads to the field."""
    request = RetryDeliveriesRequest(filter=DeadLetterFilter(event_type="\0"))

    assert found(request) == [
        ("reason", "reason is required."),
        ("filter.event_type", "filter.event_type must not contain the character U+0000."),
    ]
