"""Request bodies: which are accepted, and the errors for the others."""

from contextlib import suppress
from typing import Any

import grpc
import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import delivery_pb2 as delivery
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from services.metrics.transport.errors import ApiError
from services.metrics.transport.transcoding import read_body

INT32 = "must be from -2147483648 to 2147483647"


def read(body: bytes | dict[str, Any], message: Message | None = None) -> Any:
    message = admin.RetryDeliveriesRequest() if message is None else message
    read_body(body if isinstance(body, bytes) else orjson.dumps(body), message)
    return message


def refusal(body: bytes | dict[str, Any], message: Message | None = None) -> ApiError:
    with pytest.raises(ApiError) as raised:
        read(body, message)
    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    return raised.value


@pytest.mark.parametrize("body", [b"", b" \n", b"{}"])
def test_no_body_is_an_empty_request(body: bytes) -> None:
    """Every field has its default."""
    assert read(body) == admin.RetryDeliveriesRequest()


def test_both_spellings_of_names_are_accepted() -> None:
    """Those of REST, and those of the contract."""
    both = read({"dryRun": True, "stop_after_failures": 2, "filter": {"eventType": "hang"}})

    assert both == admin.RetryDeliveriesRequest(
        dry_run=True,
        stop_after_failures=2,
        filter=admin.DeadLetterFilter(event_type="hang"),
    )


@pytest.mark.parametrize("word", ["dead_letter", "DELIVERY_STATUS_DEAD_LETTER"])
def test_both_spellings_of_enum_values_are_accepted(word: str) -> None:
    """As REST shows an enum, and as the contract names it."""
    request = read({"status": word}, metrics.ListDeliveriesRequest())

    assert request.status == delivery.DELIVERY_STATUS_DEAD_LETTER


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-27T06:30:00Z",
        "2026-01-27t06:30:00.000z",
        "2026-01-27T08:00:00+01:30",
        "2026-01-26T22:30:00.000000000-08:00",
    ],
)
def test_a_time_may_have_any_offset(text: str) -> None:
    """All of these are the same moment."""
    request = read({"filter": {"startTime": text}})

    assert request.filter.start_time.ToJsonString() == "2026-01-27T06:30:00Z"


def test_null_leaves_a_field_unset() -> None:
    """A client may send null for a value that it does not know."""
    assert read({"reason": None, "filter": None}) == admin.RetryDeliveriesRequest()


def test_whole_numbers_may_look_like_others() -> None:
    """To JSON 5.0 and 1e3 are whole."""
    assert read(b'{"limit": 1e3, "stopAfterFailures": 5.0, "ratePerSecond": 3}') == (
        admin.RetryDeliveriesRequest(limit=1000, stop_after_failures=5, rate_per_second=3)
    )


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({"limit": "5"}, "limit", "`limit` must be a whole number."),
        ({"limit": 5.5}, "limit", "`limit` must be a whole number."),
        ({"limit": True}, "limit", "`limit` must be a whole number."),
        ({"limit": 2**31}, "limit", f"`limit` {INT32}."),
        ({"limit": 1e300}, "limit", f"`limit` {INT32}."),
        ({"ratePerSecond": "1"}, "rate_per_second", "`rate_per_second` must be a finite number."),
        ({"dryRun": "true"}, "dry_run", "`dry_run` must be true or false."),
        ({"reason": 7}, "reason", "`reason` must be a string."),
        ({"filter": "hang"}, "filter", "`filter` must be an object."),
        ({"color": 1}, "color", "`color` is not a field of this request."),
        (
            {"filter": {"color": 1}},
            "filter.color",
            "`filter.color` is not a field of this request.",
        ),
        (
            {"filter": {"startTime": "yesterday"}},
            "filter.start_time",
            "`filter.start_time` must be a time like 2026-01-27T06:30:00Z.",
        ),
        (
            {"filter": {"endTime": 5}},
            "filter.end_time",
            "`filter.end_time` must be a time like 2026-01-27T06:30:00Z.",
        ),
        (
            {"dryRun": True, "dry_run": False},
            "dry_run",
            "`dry_run` is given twice, by two spellings of its name.",
        ),
        (b"[]", "body", "The body is not a JSON object."),
        (b"{", "body", "The body is not JSON."),
        (b'{"ratePerSecond": NaN}', "body", "The body is not JSON."),
        (b'"\xff"', "body", "The body is not JSON."),
        (b'{"a":' * 100_000, "body", "The body is not JSON."),
    ],
)
def test_an_invalid_value_is_reported(
    body: bytes | dict[str, Any], field: str, sentence: str
) -> None:
    """Each refusal names the field, for programs and in a sentence."""
    error = refusal(body)

    assert error.message == sentence
    assert [violation.field for violation in error.violations] == [field]


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-27",
        "2026-01-27 06:30:00Z",
        "2026-01-27T06:30:00",
        "2026-02-30T06:30:00Z",
        "2026-01-27T24:00:00Z",
        "2026-01-27T06:30:00.1234567890Z",
        "2026-01-27T06:30:00+99:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "\u0662026-01-27T06:30:00Z",
    ],
)
def test_an_invalid_time_is_rejected(text: str) -> None:
    """Dates without a time, local times, impossible days, and years outside 1 to 9999."""
    error = refusal({"filter": {"startTime": text}})

    assert [violation.field for violation in error.violations] == ["filter.start_time"]


def test_an_invalid_status_gets_the_list_of_statuses() -> None:
    """A caller who misspells a status gets the list of statuses."""
    error = refusal({"status": "dead"}, metrics.ListDeliveriesRequest())

    assert error.message == (
        "`status` must be one of `pending`, `processing`, `completed`, `failed`, `dead_letter`, "
        "`duplicate`."
    )


def test_at_most_twenty_violations_are_reported_together() -> None:
    """Enough for a careless caller, and no large answer for a malicious one."""
    two = refusal({"limit": "x", "dryRun": 1})
    many = refusal({f"{number}{'x' * 1000}": 1 for number in range(900)})

    assert [violation.field for violation in two.violations] == ["limit", "dry_run"]
    assert len(many.violations) == 20
    assert len(many.message) < 5000


def test_a_path_field_must_not_be_in_the_body() -> None:
    """The two could differ."""
    message = admin.RetryDeliveryRequest()

    with pytest.raises(ApiError, match="`job_id` is already in the path") as raised:
        read_body(b'{"jobId": "1"}', message, elsewhere=frozenset({"job_id"}))

    assert [violation.field for violation in raised.value.violations] == ["job_id"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [field.json_name for field in admin.RetryDeliveriesRequest.DESCRIPTOR.fields]
)


@given(st.binary() | st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON)).map(orjson.dumps))
def test_any_bytes_are_a_request_or_rejected(body: bytes) -> None:
    """Whatever arrives is a request, or INVALID_ARGUMENT."""
    with suppress(ApiError):
        read(body)
