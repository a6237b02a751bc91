"""Standard Webhooks against its vectors, and against a package and openssl as signers."""

import base64
import tempfile
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from ringback.services.gateway.endpoints.signatures import StandardWebhooks
from tests.support.openssl import OpensslKey, ed25519_key, openssl_v1a, whpk_of
from tests.unit.gateway.endpoints.signing import BODY, NOW_S, endpoint_with, reason, result

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SENT_AT = datetime.fromtimestamp(NOW_S, UTC)


def declared(*secrets: str) -> str:
    return f"{{kind: standard_webhooks, secret: [{', '.join(secrets)}]}}"


def headers(signature: str, family: str = "webhook", message_id: str = "msg_1") -> dict[str, str]:
    return {
        f"{family}-id": message_id,
        f"{family}-timestamp": str(NOW_S),
        f"{family}-signature": signature,
    }


def v1(body: str = BODY.decode(), secret: str = SECRET) -> str:
    return standardwebhooks.Webhook(secret).sign("msg_1", SENT_AT, body)


FOLDER = tempfile.TemporaryDirectory()
PRIVATE_KEY, OTHER_KEY = (ed25519_key(Path(FOLDER.name), bytes([n] * 32)) for n in (1, 2))
PUBLIC_KEY = whpk_of(PRIVATE_KEY)


def v1a(key: OpensslKey = PRIVATE_KEY) -> str:
    return openssl_v1a(key, "msg_1", NOW_S, BODY)


@pytest.mark.parametrize(
    ("sent", "secrets"),
    [
        pytest.param(headers(v1()), [SECRET], id="standardwebhooks"),
        pytest.param(headers(v1(), "svix"), [SECRET], id="headers of svix"),
        pytest.param(headers(f"v1,AAAA {v1()}"), [SECRET], id="one of several signatures"),
        pytest.param(headers(v1()), ["whsec_AAAA", SECRET], id="one of two secrets"),
        pytest.param(headers(v1a()), [PUBLIC_KEY], id="Ed25519"),
        pytest.param(headers(f"{v1()} {v1a()}"), [PUBLIC_KEY], id="Ed25519 beside v1"),
        pytest.param(headers(f"{v1a()} {v1()}"), [SECRET], id="v1 beside Ed25519"),
    ],
)
def test_a_signature_of_another_program_is_accepted(
    sent: dict[str, str], secrets: list[str]
) -> None:
    """Its id is a message id; after a changed byte the signature is wrong."""
    endpoint = endpoint_with(declared(*secrets))

    assert isinstance(result(endpoint, sent), StandardWebhooks)
    assert reason(endpoint, sent, BODY + b" ") == "wrong_signature"


PUBLISHED_SEED = "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc="
PUBLISHED_V1A = (
    "hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)


@pytest.mark.parametrize(
    ("secret", "signature"),
    [
        (SECRET, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        (
            whpk_of(ed25519_key(Path(FOLDER.name), b64decode(PUBLISHED_SEED))),
            f"v1a,{PUBLISHED_V1A}",
        ),
    ],
    ids=["v1", "v1a"],
)
def test_the_published_vector_is_accepted(secret: str, signature: str) -> None:
    """Those of the specification's libraries, with their own time. The key of v1a is a seed."""
    endpoint = endpoint_with(declared(secret))
    sent = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": signature,
    }

    assert reason(endpoint, sent, b'{"test": 2432232314}', now_s=1614265330) is None
    assert reason(endpoint, sent, b'{"test": 2432232314}', now_s=1614265631) == "stale_timestamp"


@pytest.mark.parametrize(
    ("sent", "expected", "check"),
    [
        ({}, "no_signature", "webhook-signature is absent"),
        (headers(""), "no_signature", "webhook-signature is empty"),
        (headers(v1(), message_id=""), "no_message_id", "webhook-id is empty"),
        (headers(v1()) | {"webhook-timestamp": ""}, "no_timestamp", "webhook-timestamp is empty"),
        (headers(v1()) | {"webhook-timestamp": "1"}, "stale_timestamp", "behind"),
        (headers(v1(), message_id="msg_2"), "wrong_signature", "by this secret"),
        (headers(v1(secret="whsec_AAAA")), "wrong_signature", "by this secret"),
        (headers(v1a(key=OTHER_KEY)), "wrong_signature", "by this secret"),
        (headers("v2,AAAA"), "wrong_signature", "no v1 or v1a signature"),
        (headers("v1,é"), "wrong_signature", "no v1 or v1a signature"),
        # A key must not be an HMAC's secret, nor a signature of one version another's.
        (headers(v1a().replace("v1a", "v1")), "wrong_signature", "by this secret"),
        (headers(v1().replace("v1", "v1a")), "wrong_signature", "by this secret"),
        (headers(" ".join(["v1,AAAA"] * 20 + [v1()])), "wrong_signature", "by this secret"),
    ],
)
def test_a_rejection_says_what_is_wrong(sent: dict[str, str], expected: str, check: str) -> None:
    """To the operator only."""
    found = result(endpoint_with(declared(SECRET, PUBLIC_KEY)), sent)

    assert getattr(found, "reason", None) == expected
    assert check in str(getattr(found, "checks", ()))


@given(body=st.text(max_size=200), key=st.binary(min_size=24, max_size=64))
def test_any_text_is_verified_as_it_is(body: str, key: bytes) -> None:
    """With any secret."""
    secret = "whsec_" + base64.b64encode(key).decode()
    endpoint = endpoint_with(declared(secret))

    assert reason(endpoint, headers(v1(body, secret)), body.encode()) is None
    assert reason(endpoint, headers(v1(body, secret)), body.encode() + b"0") == "wrong_signature"
