"""Vapi's HMAC credential, each of its parts, against openssl as the signer."""

import base64
import hmac as hmac_module
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from ringback.services.gateway.endpoints.signatures import Hmac
from tests.support.openssl import openssl_hmac
from tests.unit.gateway.endpoints.signing import BODY, NOW_S, endpoint_with, reason, result

SECRET = b"a secret of the tests"
URL = "https://hooks.example.com/api/webhooks/vapi/acme"
STAMP = str(NOW_S).encode()


SIGNED = STAMP + b"." + BODY
WITH_ID = "payload: '{svix-id}.{timestamp}.{body}', message_id_header: svix-id"
WITH_URL = f"payload: '{{method}} {{url}}|{{body}}|{{timestamp}}', url: '{URL}'"
OTHER_HEADERS = "signature_header: x-vapi-signature, timestamp_header: X-Sent-At"
ISO = "2026-11-29T07:00:00Z"


def as_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def as_base64_for_urls(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


FORMS: dict[str, tuple[str, bytes, Callable[[bytes], str], dict[str, str]]] = {
    "the defaults of Vapi": ("", SIGNED, bytes.hex, {}),
    "prefix": ("prefix: sha256=", SIGNED, lambda digest: f"sha256={digest.hex()}", {}),
    "the body alone": ("payload: '{body}'", BODY, bytes.hex, {"x-timestamp": ""}),
    "base64": ("encoding: base64", SIGNED, as_base64, {}),
    "base64 for URLs without padding": ("encoding: base64", SIGNED, as_base64_for_urls, {}),
    "other headers, upper case": (
        *(OTHER_HEADERS, SIGNED, lambda digest: digest.hex().upper()),
        {"x-sent-at": str(NOW_S)},
    ),
    "message id": (WITH_ID, b"msg_1." + SIGNED, bytes.hex, {"svix-id": "msg_1"}),
    "method and URL": (
        *(WITH_URL, b"POST " + URL.encode() + b"|" + BODY + b"|" + STAMP, bytes.hex, {}),
    ),
    "a timestamp of another form, not checked": (
        *("tolerance_s: null", ISO.encode() + b"." + BODY, bytes.hex, {"x-timestamp": ISO}),
    ),
    "milliseconds": ("", STAMP + b"123." + BODY, bytes.hex, {"x-timestamp": f"{NOW_S}123"}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha1"])
def test_a_signature_of_openssl_is_accepted(algorithm: str, form: str) -> None:
    """In each form that Vapi offers; after a changed byte it is wrong."""
    declared, payload, written, headers = FORMS[form]
    endpoint = endpoint_with(
        f"{{kind: hmac, algorithm: {algorithm}, secret: {SECRET.decode()}, {declared}}}"
    )
    (credential,) = endpoint.credentials
    assert isinstance(credential, Hmac)
    signature = written(openssl_hmac(algorithm, SECRET, payload))
    sent = {"x-timestamp": str(NOW_S), credential.signature_header: signature, **headers}

    assert result(endpoint, sent) is credential
    assert reason(endpoint, sent, BODY + b" ") == "wrong_signature"


def signed(body: bytes = BODY, secret: bytes = SECRET, **more: str) -> dict[str, str]:
    digest = hmac_module.digest(secret, STAMP + b"." + body, "sha256")
    sent = {"x-timestamp": str(NOW_S), "x-signature": digest.hex(), **more}
    return {name.replace("_", "-"): value for name, value in sent.items()}


SIMPLE = f"{{kind: hmac, algorithm: sha256, secret: {SECRET.decode()}}}"


@pytest.mark.parametrize(
    ("headers", "expected", "check"),
    [
        ({}, "no_signature", "x-signature is absent"),
        (signed(x_signature=" "), "no_signature", "x-signature is empty"),
        (signed(x_timestamp=""), "no_timestamp", "x-timestamp is empty"),
        (signed(x_timestamp="soon"), "no_timestamp", "not a number"),
        (signed(x_timestamp=str(NOW_S - 301)), "stale_timestamp", "301 s behind"),
        (signed(x_timestamp=str(NOW_S + 301)), "stale_timestamp", "301 s ahead of"),
        (signed(x_timestamp=f"{NOW_S - 302}000"), "stale_timestamp", "302 s behind"),
        (signed(x_timestamp=str(NOW_S - 300)), "wrong_signature", "not the signature"),
        (signed(secret=b"another"), "wrong_signature", "not the signature"),
        (signed(x_signature="sha256=ab"), "wrong_signature", "not 32 bytes (sha256) in hex"),
        (signed(x_signature="ab" * 20), "wrong_signature", "not 32 bytes (sha256) in hex"),
        (signed(x_signature="é" * 64), "wrong_signature", "in hex"),
    ],
)
def test_a_rejection_says_what_is_wrong(headers: dict[str, str], expected: str, check: str) -> None:
    """To the operator only: the sender gets the same text for all of them."""
    found = result(endpoint_with(SIMPLE), headers)

    assert found is not None
    assert not isinstance(found, Hmac)
    assert getattr(found, "reason", None) == expected
    assert check in str(getattr(found, "checks", ()))
    assert SECRET.decode() not in str(found)


def test_two_secrets_are_valid_while_one_is_replaced() -> None:
    """One of them alone is not."""
    both = endpoint_with("{kind: hmac, algorithm: sha256, secret: [new, old]}")

    assert reason(both, signed(secret=b"new")) is None
    assert reason(both, signed(secret=b"old")) is None
    assert reason(endpoint_with(SIMPLE), signed(secret=b"old")) == "wrong_signature"


def test_a_secret_may_be_base64() -> None:
    """Then the signature is made with the bytes that it stands for."""
    text = base64.b64encode(SECRET).decode()
    endpoint = endpoint_with(
        f"{{kind: hmac, algorithm: sha256, secret_is_base64: true, secret: {text}}}"
    )

    assert reason(endpoint, signed()) is None
    assert reason(endpoint, signed(secret=text.encode())) == "wrong_signature"


@pytest.mark.parametrize(
    ("declared", "expected"),
    [("message_id", "msg-1"), ("event", None)],
)
def test_the_message_id_is_a_key_if_the_endpoint_says_so(
    declared: str, expected: str | None
) -> None:
    """A text that is no id is no key. Under another id the same request proves nothing."""
    endpoint = endpoint_with(
        f"{{kind: hmac, algorithm: sha256, secret: {SECRET.decode()}, message_id_header: x-id, "
        "payload: '{svix-id}.{body}'}",
        more=f"  dedup_by: {declared}\n",
    )
    signature = openssl_hmac("sha256", SECRET, b"msg-1." + BODY).hex()
    found = result(endpoint, {"x-signature": signature, "x-id": "msg-1"})

    assert reason(endpoint, {"x-signature": signature, "x-id": "msg-2"}) == "wrong_signature"

    assert isinstance(found, Hmac)
    assert endpoint.is_deduplicated_by_message_id is (expected is not None)
    assert found.message_id(_headers(x_id="msg-1")) == "msg-1"
    for text in ("", " ", "a b", "é", "x" * 201):
        assert found.message_id(_headers(x_id=text)) is None


@pytest.mark.parametrize(
    ("signed_id", "signed_at", "moved_id", "moved_at"),
    [
        ("123.msg-1", f"{NOW_S}", "msg-1", f"{NOW_S}.123"),
        ("msg-1", f"{NOW_S}.123", "123.msg-1", f"{NOW_S}"),
    ],
)
def test_no_character_moves_between_a_signed_id_and_its_timestamp(
    signed_id: str, signed_at: str, moved_id: str, moved_at: str
) -> None:
    """Otherwise the same request would count as a new message. At most one form is accepted."""
    endpoint = endpoint_with(
        f"{{kind: hmac, algorithm: sha256, secret: {SECRET.decode()}, message_id_header: x-id, "
        "payload: '{timestamp}.{svix-id}.{body}'}",
        more="  dedup_by: message_id\n",
    )
    payload = f"{signed_at}.{signed_id}.".encode() + BODY
    signature = openssl_hmac("sha256", SECRET, payload).hex()
    found = [
        reason(endpoint, {"x-signature": signature, "x-id": one, "x-timestamp": at})
        for one, at in ((signed_id, signed_at), (moved_id, moved_at))
    ]

    assert sorted(map(str, found)) == ["None", "no_timestamp"]


def _headers(**more: str) -> CIMultiDict[str]:
    return CIMultiDict(
        {**signed(), **{name.replace("_", "-"): text for name, text in more.items()}}
    )


@given(
    body=st.binary(max_size=200),
    secret=st.binary(min_size=1, max_size=80),
    stamp=st.integers(0, 2**40),
)
def test_any_bytes_are_verified_as_they_are(body: bytes, secret: bytes, stamp: int) -> None:
    """Whatever they contain; neither half of the payload can take bytes from the other."""
    text = base64.b64encode(secret).decode()
    endpoint = endpoint_with(
        f'{{kind: hmac, algorithm: sha512, secret_is_base64: true, secret: "{text}"}}'
    )
    payload = str(stamp).encode() + b"." + body
    digest = hmac_module.digest(secret, payload, "sha512")
    sent = {"x-timestamp": str(stamp), "x-signature": digest.hex()}
    now_s = stamp / 1000 if stamp >= 1e11 else float(stamp)

    assert reason(endpoint, sent, body, now_s=now_s) is None
    assert reason(endpoint, sent, body + b"0", now_s=now_s) == "wrong_signature"
