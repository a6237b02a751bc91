import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.metrics.v1.metrics_service_pb2 import (
    ListDeadLettersRequest,
    ListDeliveriesRequest,
    ListRecentFailuresRequest,
)
from services.metrics.transport.request_reader import InvalidPageTokenError, key_of, token_after

KEYS = st.binary(min_size=1, max_size=300)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


@given(KEYS, TEXTS, st.integers(0, 100), st.integers(0, 100))
def test_a_token_gives_its_key_back(key: bytes, event_type: str, first: int, second: int) -> None:
    """For the same request, whatever the previous token and the page size."""
    asked = ListDeadLettersRequest(event_type=event_type, page_size=first)

    token = token_after(key, asked)

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


@given(st.one_of(st.text(), st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_garbage_is_refused(token: str) -> None:
    """Any text raises InvalidPageTokenError and nothing else."""
    with pytest.raises(InvalidPageTokenError):
        key_of(token, ListDeliveriesRequest())


@given(KEYS, st.data())
def test_a_changed_token_is_refused(key: bytes, data: st.DataObject) -> None:
    """One changed byte is enough."""
    token = token_after(key, ListDeliveriesRequest())
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(InvalidPageTokenError):
        key_of(base64.urlsafe_b64encode(raw).decode(), ListDeliveriesRequest())


def test_a_token_is_fit_for_a_url() -> None:
    """It needs no escaping in a query."""
    token = token_after(bytes(range(256)), ListDeliveriesRequest())

    assert token.replace("-", "").replace("_", "").isalnum()
