"""Tests for the authenticator: which tokens are refused, and with which text."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import UUID

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ringback.runtime.key_set import VerificationKey
from ringback.services.metrics.auth.authenticator import BAD_ROLE, BAD_TOKEN, Authenticator
from ringback.services.metrics.auth.keys import OneKey, secret_key
from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.transport.errors import ApiError
from tests.support.tokens import JWT_SECRET, bearer, token

ORG = UUID("0190f5c4-0000-7000-8000-000000000001")
NIL = "00000000-0000-0000-0000-000000000000"
MAX = "ffffffff-ffff-ffff-ffff-ffffffffffff"
# In seconds since 1970. Test names contain them, so they are the same in every process.
LONG_AGO = 1_000_000_000.5
FAR_AHEAD = 4_000_000_000.5


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator(secret_key(JWT_SECRET), "ringback", None)


def refusal(authenticator: Authenticator, authorization: str | None) -> ApiError:
    with pytest.raises(ApiError) as caught:
        authenticator.check(authorization)
    return caught.value


def segment(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def signed(header: object, payload: object, secret: bytes = JWT_SECRET.encode()) -> str:
    """A token made by hand: no library would make some of these."""
    what = f"{segment(header)}.{segment(payload)}"
    digest = hmac.new(secret, what.encode(), hashlib.sha256).digest()
    return f"Bearer {what}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def claims(**changed: Any) -> dict[str, Any]:
    standing = {"role": "service", "sub": "x", "aud": "ringback", "exp": time.time() + 3600}
    return {name: value for name, value in (standing | changed).items() if value is not None}


def test_a_tenant_is_let_in_with_its_org(authenticator: Authenticator) -> None:
    """The call knows the caller as the token describes it."""
    found = authenticator.check(bearer("tenant", ORG, subject="ops@example.com"))

    assert found == Principal(Role.TENANT, ORG, "ops@example.com")


def test_a_service_has_no_org(authenticator: Authenticator) -> None:
    """It sees everything; the scheme, the clock and other audiences may differ a little."""
    now = time.time()
    for header in (
        bearer("service"),
        bearer("service", ORG),
        f"bEARER {token()}",
        bearer(exp=now - 2),
        bearer(nbf=now + 2, iat=now + 2),
        bearer(aud=["other", "ringback"]),
    ):
        assert authenticator.check(header) == Principal(Role.SERVICE, None, "a test")


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer a.b.c",
        "Bearer ...",
        "Bearer \N{SNOWMAN}.\N{SNOWMAN}.\N{SNOWMAN}",
        "Basic dXNlcjpwYXNz",
        token(),
        f"Bearer {token()} {token()}",
        f"{bearer()}, {bearer()}",
        f"Bearer {token()[:-4]}",
        f"Bearer {token(secret='another secret, just as long as it must be')}",
        pytest.param(f"Bearer {'a' * 1_000_000}", id="a megabyte"),
        pytest.param(bearer(padding="x" * 9000), id="signed, and huge"),
        pytest.param(signed("[" * 4000, claims()), id="a deep header"),
        pytest.param(signed({"alg": "HS256"}, "[" * 4000), id="deep claims"),
        pytest.param(signed(["HS256"], claims()), id="a header that is a list"),
        pytest.param(signed({"alg": "HS256"}, [claims()]), id="claims that are a list"),
        pytest.param(signed({"alg": "none"}, claims()), id="none, signed"),
        pytest.param(signed({"alg": "NONE"}, claims()), id="NONE"),
        pytest.param(signed({"alg": ["HS256"]}, claims()), id="a list of algorithms"),
        pytest.param(signed({}, claims()), id="no algorithm"),
        pytest.param(signed({"alg": "HS256", "kid": ["a"]}, claims()), id="kid is a list"),
        pytest.param(signed({"alg": "HS256", "crit": ["x"]}, claims()), id="crit"),
        pytest.param(signed({"alg": "HS256", "b64": False, "crit": ["b64"]}, ""), id="detached"),
        pytest.param(f"Bearer {segment({'alg': 'none'})}.{segment(claims())}.", id="none"),
        pytest.param(f"Bearer {jwt.encode(claims(), JWT_SECRET * 2, 'HS512')}", id="HS512"),
        None,
        "",
    ],
)
def test_an_invalid_token_is_rejected(
    authenticator: Authenticator, authorization: str | None
) -> None:
    """Always with the same text: an attacker learns nothing about the cause.

    A call without a token learns what to send.
    """
    error = refusal(authenticator, authorization)

    assert error.code is grpc.StatusCode.UNAUTHENTICATED
    assert error.message == (BAD_TOKEN if authorization else "A bearer token is required.")


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": LONG_AGO},
        {"exp": None},
        {"exp": "soon"},
        {"exp": [FAR_AHEAD]},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"nbf": FAR_AHEAD},
        {"iat": FAR_AHEAD},
        {"aud": "somebody else"},
        {"aud": None},
        {"aud": ["somebody", "else"]},
        {"aud": {"ringback": True}},
        {"sub": None},
        {"sub": ""},
        {"sub": " "},
        {"sub": ["x"]},
        {"sub": 7},
        {"sub": "x" * 256},
        {"sub": "two\nlines"},
        {"role": "tenant"},
        {"role": "tenant", "org_id": ""},
        {"role": "tenant", "org_id": "acme"},
        {"role": "tenant", "org_id": [str(ORG)]},
        {"role": "tenant", "org_id": 7},
        {"role": "tenant", "org_id": NIL},
        {"role": "tenant", "org_id": MAX},
        {"role": "tenant", "org_id": MAX.upper().replace("-", "")},
    ],
    ids=str,
)
def test_invalid_signed_claims_are_rejected(
    authenticator: Authenticator, changed: dict[str, Any]
) -> None:
    """A good signature is not enough."""
    error = refusal(authenticator, signed({"alg": "HS256"}, claims(**changed)))

    assert error.code is grpc.StatusCode.UNAUTHENTICATED
    assert error.message == BAD_TOKEN
    assert error.__cause__ is not None


@pytest.mark.parametrize("role", [None, "", "admin", "Service", ["service"], {"service": 1}, 1])
def test_an_unknown_role_may_call_nothing(authenticator: Authenticator, role: object) -> None:
    """The caller is known, but may not call the API."""
    error = refusal(authenticator, signed({"alg": "HS256"}, claims(role=role)))

    assert error.code is grpc.StatusCode.PERMISSION_DENIED


def test_the_issuer_counts_when_one_is_set() -> None:
    """A token for another audience is refused, and so is one without an audience."""
    picky = Authenticator(secret_key(JWT_SECRET), "ringback", "https://id.example")

    assert picky.check(bearer(iss="https://id.example")).role is Role.SERVICE
    assert refusal(picky, bearer(iss="https://evil.example")).message == BAD_TOKEN
    assert refusal(picky, bearer()).message == BAD_TOKEN
    listed = signed({"alg": "HS256"}, claims(iss=["https://id.example"]))
    assert refusal(picky, listed).message == BAD_TOKEN


def test_a_public_key_is_not_used_as_a_secret() -> None:
    """A token signed with the public key by HS256 is refused: the key decides the algorithm."""
    key = rsa.generate_private_key(65537, 2048).public_key()
    checks = Authenticator(OneKey(VerificationKey(key, "RS256")), "ringback", None)
    for encoding, form in (
        (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.PEM, PublicFormat.PKCS1),
    ):
        forged = signed({"alg": "HS256"}, claims(), key.public_bytes(encoding, form))
        renamed = signed({"alg": "RS256"}, claims(), key.public_bytes(encoding, form))

        assert refusal(checks, forged).message == BAD_TOKEN
        assert refusal(checks, renamed).message == BAD_TOKEN


def test_the_logged_reason_contains_no_token(authenticator: Authenticator) -> None:
    """The cause names the problem; neither it nor the answer repeats the token."""
    sent = bearer("tenant", "sesame")

    error = refusal(authenticator, sent)

    assert str(error.__cause__) == "org_id is not a UUID"
    assert "sesame" not in f"{error} {error.__cause__}"


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


@given(
    header=HEADER_CHANGES, changes=CHANGES, secret=st.sampled_from([JWT_SECRET, f"{JWT_SECRET}x"])
)
def test_a_signed_token_is_a_caller_or_rejected(
    header: dict[str, Any], changes: dict[str, Any], secret: str
) -> None:
    """No claim raises anything else; a tenant without an organisation is never accepted.

    With another signature a token is rejected, whatever algorithm and key its header names.
    """
    head = {"alg": "HS256", "typ": "JWT"} | header
    found: Principal | str

    try:
        found = AUTHENTICATOR.check(signed(head, claims(**changes), secret.encode()))
    except ApiError as exc:
        found = exc.message

    if isinstance(found, str) or secret != JWT_SECRET:
        assert found == BAD_TOKEN or (secret == JWT_SECRET and found == BAD_ROLE)
    else:
        assert (found.role is Role.SERVICE) == (found.org_id is None)
        assert found.subject.strip()
