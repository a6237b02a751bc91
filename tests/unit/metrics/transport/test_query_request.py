"""Parameters of queries and paths: which are accepted, and the errors for the others."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback.metrics.json_document import document
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import delivery_pb2 as delivery
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from services.metrics.transport.errors import ApiError
from services.metrics.transport.methods import methods_of
from services.metrics.transport.transcoding import read_path, read_query
from tests.unit.metrics.transport.any_message import messages

REQUESTS = [method.request_class for method in methods_of()]


def read(*pairs: tuple[str, str], message: Message | None = None) -> Any:
    message = metrics.ListDeliveriesRequest() if message is None else message
    read_query(pairs, message)
    return message


def parameters(values: dict[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    """A document as query parameters."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from parameters(value, f"{within}{name}.")
        elif value is not None:
            text = str(value).lower() if isinstance(value, bool | float) else str(value)
            yield f"{within}{name}", text


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.DESCRIPTOR.name)
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_a_query_can_express_a_whole_request(kind: type[Message], data: st.DataObject) -> None:
    """A query can express what a document can, except an empty part, which looks absent."""
    message = data.draw(messages(kind))

    read_again = read(*parameters(document(message)), message=kind())

    for one in (message, read_again):
        if kind is admin.RetryDeliveriesRequest and not one.filter.ByteSize():
            one.ClearField("filter")
    assert read_again == message


def test_both_spellings_and_nested_fields_are_accepted() -> None:
    """Names of REST and of the contract, words likewise, and nested fields with a dot."""
    listed = read(("pageSize", "7"), ("status", "DELIVERY_STATUS_FAILED"), ("event_type", "hang"))
    retried = read(
        ("filter.eventType", "hang"),
        ("filter.error_class", "E"),
        ("dryRun", "true"),
        message=admin.RetryDeliveriesRequest(),
    )

    assert listed == metrics.ListDeliveriesRequest(
        page_size=7, status=delivery.DELIVERY_STATUS_FAILED, event_type="hang"
    )
    assert retried == admin.RetryDeliveriesRequest(
        filter=admin.DeadLetterFilter(event_type="hang", error_class="E"), dry_run=True
    )


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("pageSize", "", "`page_size` must be a whole number."),
        ("pageSize", "abc", "`page_size` must be a whole number."),
        ("pageSize", "1_000", "`page_size` must be a whole number."),
        ("pageSize", " 5", "`page_size` must be a whole number."),
        ("pageSize", "\u0665", "`page_size` must be a whole number."),
        ("pageSize", "9" * 5000, "`page_size` must be a whole number."),
        ("pageSize", "9" * 30, "`page_size` must be from -2147483648 to 2147483647."),
        ("startTime", "today", "`start_time` must be a time like 2026-01-27T06:30:00Z."),
        ("color", "red", "`color` is not a parameter of this request."),
        ("status.x", "1", "`status.x` is not a parameter of this request."),
        ("", "1", "`` is not a parameter of this request."),
    ],
)
def test_an_invalid_value_is_reported(name: str, text: str, sentence: str) -> None:
    """Each error names the parameter, by its contract name if it has one."""
    with pytest.raises(ApiError) as raised:
        read((name, text))

    assert raised.value.message == sentence


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "0x1", "1_0", "", "1" * 500])
def test_a_number_that_is_not_finite_is_rejected(text: str) -> None:
    """Python would accept some of these."""
    with pytest.raises(ApiError, match="`interval_s` must be a finite number"):
        read(("intervalS", text), message=metrics.WatchQueueHealthRequest())


@pytest.mark.parametrize("name", ["filter", "filter.", "filter.filter", "dryRun.x"])
def test_a_message_field_is_not_a_parameter(name: str) -> None:
    """Only fields with a value are."""
    with pytest.raises(ApiError, match="is not a parameter"):
        read((name, "x"), message=admin.RetryDeliveriesRequest())


def test_a_parameter_is_given_once() -> None:
    """The two could differ; two spellings are still the same parameter."""
    with pytest.raises(ApiError, match="`page_size` is given more than once"):
        read(("pageSize", "1"), ("page_size", "2"))


def test_a_path_field_must_not_be_in_the_query() -> None:
    """The two could differ."""
    with pytest.raises(ApiError, match="`job_id` is already in the path"):
        read_query([("jobId", "x")], metrics.GetDeliveryRequest(), elsewhere=frozenset({"job_id"}))


def test_path_variables_are_fields() -> None:
    """A variable of a path is a field of the request."""
    message = metrics.GetDeliveryRequest()

    read_path({"job_id": "0190"}, message)

    assert message.job_id == "0190"


@given(st.lists(st.tuples(st.sampled_from(["pageSize", "status", "startTime"]), st.text())))
def test_any_text_is_a_request_or_rejected(pairs: list[tuple[str, str]]) -> None:
    """Whatever arrives is a request, or INVALID_ARGUMENT."""
    with suppress(ApiError):
        read(*pairs)
