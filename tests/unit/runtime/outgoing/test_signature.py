import base64
import time
from pathlib import Path

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from ringback.runtime.outgoing.signature import signature_headers, signing_key
from tests.support.openssl import ed25519_key, openssl_v1a

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def test_signs_as_standard_webhooks_publishes() -> None:
    headers = signature_headers(
        [signing_key(SECRET)],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at_s=1614265330,
        body=b'{"test": 2432232314}',
    )

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_packages_of_receivers_accept_the_new_and_the_old_secret(text: str) -> None:
    # It takes a second of each process that collects tests.
    import svix.webhooks  # ruff: ignore[import-outside-top-level]

    keys = [signing_key(SECRET), signing_key(OLD_SECRET)]
    body = text.encode()

    headers = signature_headers(keys, message_id="job", at_s=int(time.time()), body=body)

    for secret in (SECRET, OLD_SECRET):
        standardwebhooks.Webhook(secret).verify(body, headers, json_parse=False)
        svix.webhooks.Webhook(secret).verify(body, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(body + b" ", headers, json_parse=False)


@pytest.mark.parametrize("is_with_public_key", [False, True])
def test_signs_by_ed25519_as_openssl_does(tmp_path: Path, *, is_with_public_key: bool) -> None:
    seed, body = bytes(range(32)), b'{"message": {"type": "hang"}}'
    openssl = ed25519_key(tmp_path, seed)
    private = seed + (openssl.public_der[-32:] if is_with_public_key else b"")
    keys = [signing_key(f"whsk_{base64.b64encode(private).decode()}"), signing_key(SECRET)]

    headers = signature_headers(keys, message_id="job", at_s=1614265330, body=body)

    by_ed25519, by_hmac = headers["webhook-signature"].split(" ")
    assert by_ed25519 == openssl_v1a(openssl, "job", 1614265330, body)
    assert by_hmac.startswith("v1,")


def encoded(prefix: str, size_bytes: int) -> str:
    return prefix + base64.b64encode(bytes(size_bytes)).decode()


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("whsec_not base64!", "must be whsec_<base64> or whsk_<base64>"),
        ("whsk_not base64!", "must be whsec_<base64> or whsk_<base64>"),
        (encoded("whsec_", 23), "24 to 64 bytes"),
        (encoded("whsec_", 65), "24 to 64 bytes"),
        (encoded("whsk_", 31), "32 or 64 bytes"),
        (encoded("whsk_", 64), "does not belong to its private key"),
    ],
)
def test_a_wrong_secret_is_explained_without_showing_it(secret: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        signing_key(secret)

    assert secret not in str(caught.value)
