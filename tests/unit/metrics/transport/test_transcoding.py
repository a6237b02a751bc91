"""Request bodies, queries and paths: which are accepted, and the errors for the others."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc
import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback.metrics.json_document import document
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import delivery_pb2 as delivery
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.services.metrics.transport.errors import ApiError
from ringback.services.metrics.transport.methods import methods_of
from ringback.services.metrics.transport.transcoding import read_body, read_path, read_query
from tests.unit.metrics.transport.any_message import messages

INT32 = "must be from -2147483648 to 2147483647"


def read(body: bytes | dict[str, Any], message: Message | None = None) -> Any:
    message = admin.RetryDeliveriesRequest() if message is None else message
    read_body(body if isinstance(body, bytes) else orjson.dumps(body), message)
    return message


def rejection(body: bytes | dict[str, Any], message: Message | None = None) -> ApiError:
    with pytest.raises(ApiError) as raised:
        read(body, message)
    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    return raised.value


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        # Every field has its default. A client may send null for a value that it does not know.
        *((body, {}) for body in (b"", b" \n", b"{}", b'{"reason": null, "filter": null}')),
        # To JSON 5.0 and 1e3 are whole.
        (
            b'{"limit": 1e3, "stopAfterFailures": 5.0, "ratePerSecond": 3}',
            {"limit": 1000, "stop_after_failures": 5, "rate_per_second": 3},
        ),
    ],
)
def test_a_body_is_a_request(body: bytes, fields: dict[str, Any]) -> None:
    assert read(body) == admin.RetryDeliveriesRequest(**fields)


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


#: Dates without a time, local times, impossible days, and years outside 1 to 9999.
INVALID_TIMES = [
    *("yesterday", 5, "2026-01-27", "2026-01-27 06:30:00Z", "2026-01-27T06:30:00"),
    *("2026-02-30T06:30:00Z", "2026-01-27T24:00:00Z", "2026-01-27T06:30:00.1234567890Z"),
    *("2026-01-27T06:30:00+99:00", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01"),
    *("9999-12-31T23:59:59-00:01", "\u0662026-01-27T06:30:00Z"),
]
TIME = "must be a time like 2026-01-27T06:30:00Z."
TWICE = "is given twice, once in camelCase and once in snake_case."


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        *(({"limit": value}, "limit", "must be a whole number.") for value in ("5", 5.5, True)),
        *(({"limit": value}, "limit", f"{INT32}.") for value in (2**31, 1e300)),
        ({"ratePerSecond": "1"}, "rate_per_second", "must be a finite number."),
        ({"dryRun": "true"}, "dry_run", "must be true or false."),
        ({"reason": 7}, "reason", "must be a string."),
        ({"filter": "hang"}, "filter", "must be an object."),
        ({"color": 1}, "color", "is not a field of this request."),
        ({"filter": {"color": 1}}, "filter.color", "is not a field of this request."),
        *(({"filter": {"startTime": text}}, "filter.start_time", TIME) for text in INVALID_TIMES),
        ({"dryRun": True, "dry_run": False}, "dry_run", TWICE),
    ],
)
def test_an_invalid_value_is_reported(body: dict[str, Any], field: str, sentence: str) -> None:
    """Each refusal names the field, for programs and in a sentence."""
    error = rejection(body)

    assert error.message == f"`{field}` {sentence}"
    assert [violation.field for violation in error.violations] == [field]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"[]", "The body is not a JSON object."),
        *(
            (body, "The body is not JSON.")
            for body in (b"{", b'{"ratePerSecond": NaN}', b'"\xff"', b'{"a":' * 100_000)
        ),
    ],
)
def test_a_body_that_is_no_object_is_reported(body: bytes, sentence: str) -> None:
    error = rejection(body)

    assert (error.message, error.violations[0].field) == (sentence, "body")


def test_an_invalid_status_gets_the_list_of_statuses() -> None:
    """A caller who misspells a status gets the list of statuses."""
    error = rejection({"status": "dead"}, metrics.ListDeliveriesRequest())

    assert error.message == (
        "`status` must be one of `pending`, `processing`, `completed`, `failed`, `dead_letter`, "
        "`duplicate`."
    )


def test_at_most_twenty_violations_are_reported_together() -> None:
    """Enough for a careless caller, and no large answer for a malicious one."""
    two = rejection({"limit": "x", "dryRun": 1})
    many = rejection({f"{number}{'x' * 1000}": 1 for number in range(900)})

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


REQUESTS = [method.request_class for method in methods_of()]


def read_pairs(*pairs: tuple[str, str], message: Message | None = None) -> Any:
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
@settings(max_examples=settings().max_examples // 4)
def test_a_query_can_express_a_whole_request(kind: type[Message], data: st.DataObject) -> None:
    """A query can express what a document can, except an empty part, which looks absent."""
    message = data.draw(messages(kind))

    read_again = read_pairs(*parameters(document(message)), message=kind())

    for one in (message, read_again):
        if kind is admin.RetryDeliveriesRequest and not one.filter.ByteSize():
            one.ClearField("filter")
    assert read_again == message


def test_both_spellings_and_nested_fields_are_accepted() -> None:
    """Names of REST and of the contract, words likewise, and nested fields with a dot."""
    listed = read_pairs(
        ("pageSize", "7"), ("status", "DELIVERY_STATUS_FAILED"), ("event_type", "hang")
    )
    retried = read_pairs(
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


LIST, RETRY = metrics.ListDeliveriesRequest, admin.RetryDeliveriesRequest
WATCH = metrics.WatchQueueHealthRequest
WHOLE = "`page_size` must be a whole number."


@pytest.mark.parametrize(
    ("kind", "pairs", "sentence"),
    [
        *(
            (LIST, [("pageSize", text)], WHOLE)
            for text in ("", "abc", "1_000", " 5", "\u0665", "9" * 5000)
        ),
        (LIST, [("pageSize", "9" * 30)], "`page_size` must be from -2147483648 to 2147483647."),
        (LIST, [("startTime", "today")], f"`start_time` {TIME}"),
        # Python would accept some of these.
        *(
            (WATCH, [("intervalS", text)], "`interval_s` must be a finite number.")
            for text in ("NaN", "Infinity", "1e999", "0x1", "1_0", "", "1" * 500)
        ),
        # Only fields with a value are parameters.
        *(
            (kind, [(name, "1")], f"`{name}` is not a parameter of this request.")
            for kind, name in ((LIST, "color"), (LIST, "status.x"), (LIST, ""), (RETRY, "filter"))
        ),
        *(
            (RETRY, [(name, "x")], f"`{shown}` is not a parameter of this request.")
            for name, shown in (
                ("filter.", "filter."),
                ("filter.filter", "filter.filter"),
                ("dryRun.x", "dryRun.x"),
            )
        ),
        # The two could differ; two spellings are still the same parameter.
        (LIST, [("pageSize", "1"), ("page_size", "2")], "`page_size` is given more than once."),
    ],
)
def test_an_invalid_parameter_is_reported(
    kind: type[Message], pairs: list[tuple[str, str]], sentence: str
) -> None:
    """Each error names the parameter, by its contract name if it has one."""
    with pytest.raises(ApiError) as raised:
        read_pairs(*pairs, message=kind())

    assert raised.value.message == sentence


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
def test_any_query_is_a_request_or_rejected(pairs: list[tuple[str, str]]) -> None:
    """Whatever arrives is a request, or INVALID_ARGUMENT."""
    with suppress(ApiError):
        read_pairs(*pairs)
