from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.metrics.v1.metrics_service_pb2 import (
    ListDeadLettersRequest,
    ListDeliveriesRequest,
    ListFailureGroupsRequest,
)
from services.metrics.transport.errors import ApiError
from services.metrics.transport.request_reader import RequestReader, token_after


def test_all_violations_are_reported_together() -> None:
    """One violation for each field, by its name in the contract."""
    reader = RequestReader(ListDeliveriesRequest(page_size=-1, page_token="x", org_id="acme"))
    reader.page_size("page_size", default=50, maximum=100)
    reader.uuid("org_id")
    reader.page_id()

    with pytest.raises(ApiError) as refused:
        reader.check()

    fields = [violation.field for violation in refused.value.violations]
    assert fields == ["page_size", "org_id", "page_token"]
    assert refused.value.reason == "INVALID_REQUEST"


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


@given(st.uuids())
def test_a_uuid_is_read(value: UUID) -> None:
    """In its usual spelling, in small or capital letters."""
    for text in (str(value), str(value).upper()):
        reader = RequestReader(ListDeliveriesRequest(org_id=text))

        assert reader.uuid("org_id") == value
        reader.check()


@pytest.mark.parametrize(
    "text",
    ["acme", "{0190f3c5-0000-7000-8000-000000000000}", "0190f3c500007000800000000000000", " ", "'"],
)
def test_an_invalid_uuid_is_rejected(text: str) -> None:
    """Also what Python would parse as one."""
    reader = RequestReader(ListDeliveriesRequest(org_id=text))

    assert reader.uuid("org_id") is None
    with pytest.raises(ApiError):
        reader.check()


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
