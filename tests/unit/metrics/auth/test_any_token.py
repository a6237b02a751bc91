"""Any token is either valid, or refused with our own error."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metrics.auth.authenticator import BAD_ROLE, BAD_TOKEN, NO_TOKEN, Authenticator
from services.metrics.auth.keys import secret_key
from services.metrics.auth.principal import Principal, Role
from services.metrics.transport.errors import ApiError
from tests.support.tokens import JWT_SECRET, token

AUTHENTICATOR = Authenticator(secret_key(JWT_SECRET), "ringback", None)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
CLAIMS = st.sampled_from(["role", "sub", "aud", "exp", "nbf", "iat", "iss", "org_id", "jti"])
CHANGES = st.dictionaries(CLAIMS, VALUES, max_size=3)
HEADER_CHANGES = st.dictionaries(
    st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "jku", "x5u", "zip"]),
    VALUES | st.sampled_from(["HS256", "none", "HS512", "RS256"]),
    max_size=2,
)


def _segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _signed(header: object, claims: object, secret: str) -> str:
    text = f"{_segment(header)}.{_segment(claims)}"
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def good_claims() -> dict[str, Any]:
    return {"role": "service", "sub": "x", "aud": "ringback", "exp": int(time.time()) + 3600}


def decided(authorization: str | None) -> Principal | ApiError:
    """The caller, or the refusal; anything else that is raised fails the test."""
    try:
        return AUTHENTICATOR.authenticate(authorization)
    except ApiError as exc:
        return exc


@given(authorization=st.none() | st.text() | st.text().map(lambda text: f"Bearer {text}"))
def test_any_text_is_refused(authorization: str | None) -> None:
    """Random bytes never make a valid signature."""
    refused = decided(authorization)

    assert isinstance(refused, ApiError)
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert refused.message in {NO_TOKEN, BAD_TOKEN}


@given(header=HEADER_CHANGES, changes=CHANGES)
def test_a_token_with_another_signature_is_rejected(
    header: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Whatever its claims, and whatever algorithm and key its header names."""
    head = {"alg": "HS256", "typ": "JWT"} | header

    refused = decided("Bearer " + _signed(head, good_claims() | changes, JWT_SECRET + "x"))

    assert isinstance(refused, ApiError)
    assert refused.message == BAD_TOKEN


@given(header=HEADER_CHANGES, changes=CHANGES)
def test_a_signed_token_is_a_caller_or_rejected(
    header: dict[str, Any], changes: dict[str, Any]
) -> None:
    """No claim raises anything else; a tenant without an organisation is never accepted."""
    head = {"alg": "HS256", "typ": "JWT"} | header

    found = decided("Bearer " + _signed(head, good_claims() | changes, JWT_SECRET))

    if isinstance(found, ApiError):
        assert found.message in {BAD_TOKEN, BAD_ROLE}
    else:
        assert (found.role is Role.SERVICE) == (found.org_id is None)
        assert found.subject.strip()


@given(place=st.integers(0), letter=st.sampled_from("Aa0-_.x"))
def test_a_token_with_another_letter_is_refused(place: int, letter: str) -> None:
    """The signature covers header and claims."""
    good = token()
    at = place % (len(good) - 1)
    if good[at] == letter:
        return

    changed = decided(f"Bearer {good[:at]}{letter}{good[at + 1 :]}")

    assert isinstance(changed, ApiError)


def test_the_good_token_is_good() -> None:
    """Otherwise the other tests would prove nothing."""
    assert isinstance(decided(f"Bearer {token()}"), Principal)
    with pytest.raises(ApiError):
        AUTHENTICATOR.authenticate("Bearer x")
