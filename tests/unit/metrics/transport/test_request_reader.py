"""Fields and page tokens of requests."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.metrics.v1.metrics_service_pb2 import (
    ListDeadLettersRequest,
    ListDeliveriesRequest,
    ListFailureGroupsRequest,
    ListRecentFailuresRequest,
)
from ringback.services.metrics.transport.errors import ApiError
from ringback.services.metrics.transport.request_reader import (
    InvalidPageTokenError,
    RequestReader,
    key_of,
    token_after,
)

KEYS = st.binary(min_size=1, max_size=300)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


@given(KEYS, TEXTS, st.integers(0, 100), st.integers(0, 100))
def test_a_token_gives_its_key_back(key: bytes, event_type: str, first: int, second: int) -> None:
    """For the same request, whatever the previous token and the page size."""
    request = ListDeadLettersRequest(event_type=event_type, page_size=first)

    token = token_after(key, request)

    again = ListDeadLettersRequest(event_type=event_type, page_size=second, page_token=token)
    assert key_of(token, again) == key


@given(KEYS, TEXTS, TEXTS)
def test_a_token_of_another_request_is_refused(key: bytes, one: str, other: str) -> None:
    """Also where a text has only moved to another field, or to another method."""
    token = token_after(key, ListDeadLettersRequest(event_type=one))

    others = [
        ListDeadLettersRequest(event_type=one + "x"),
        ListDeadLettersRequest(event_type=one, error_class=other + "x"),
        ListDeadLettersRequest(error_class=one or "x"),
        ListDeliveriesRequest(event_type=one),
        ListRecentFailuresRequest(),
    ]
    for request in others:
        with pytest.raises(InvalidPageTokenError):
            key_of(token, request)


@given(
    garbage=st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()),
    key=KEYS,
    data=st.data(),
)
def test_garbage_and_a_changed_token_are_refused(
    garbage: str, key: bytes, data: st.DataObject
) -> None:
    """One changed byte is enough; any text raises InvalidPageTokenError and nothing else."""
    token = token_after(key, ListDeliveriesRequest())
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))

    for refused in (garbage, base64.urlsafe_b64encode(raw).decode()):
        with pytest.raises(InvalidPageTokenError):
            key_of(refused, ListDeliveriesRequest())


def test_a_token_is_fit_for_a_url() -> None:
    """It needs no escaping in a query."""
    token = token_after(bytes(range(256)), ListDeliveriesRequest())

    assert token.replace("-", "").replace("_", "").isalnum()


def test_all_violations_are_reported_together() -> None:
    """One violation for each field, by its name in the contract."""
    reader = RequestReader(ListDeliveriesRequest(page_size=-1, page_token="x", org_id="acme"))
    reader.page_size("page_size", default=50, maximum=100)
    reader.uuid("org_id")
    reader.page_id()

    with pytest.raises(ApiError) as caught:
        reader.check()

    fields = [violation.field for violation in caught.value.violations]
    assert fields == ["page_size", "org_id", "page_token"]
    assert caught.value.reason == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("size", "used"),
    [
        (0, 50),  # absent: the default
        (1, 1),
        (100, 100),
        (101, 100),  # above the maximum: reduced, by the contract
        (2**31 - 1, 100),
    ],
)
def test_page_sizes(size: int, used: int) -> None:
    """Every size that is not negative is answered."""
    reader = RequestReader(ListDeliveriesRequest(page_size=size))

    got = reader.page_size("page_size", default=50, maximum=100)

    reader.check()
    assert got == used


@given(st.binary(min_size=1, max_size=40).filter(lambda key: len(key) != 16))
def test_a_token_with_another_kind_of_key_is_refused(key: bytes) -> None:
    """A forged checksum opens nothing that an honest caller could not read."""
    request = ListDeadLettersRequest()
    request.page_token = token_after(key, request)
    reader = RequestReader(request)
    reader.page_id()

    with pytest.raises(ApiError):
        reader.check()


@given(st.binary(min_size=1, max_size=40))
def test_a_pair_is_two_texts_that_the_database_can_compare(key: bytes) -> None:
    """Otherwise it is refused; U+0000 never gets through."""
    request = ListFailureGroupsRequest()
    request.page_token = token_after(key, request)
    reader = RequestReader(request)
    pair = reader.page_pair()

    try:
        reader.check()
    except ApiError:
        return
    assert len(pair) == 2
    assert all(text is not None and "\0" not in text for text in pair)
