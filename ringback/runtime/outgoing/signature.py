"""Signs requests by Standard Webhooks, so that their receivers know that they are from us.

`whsec_` keys make v1 signatures (HMAC-SHA256), `whsk_` keys v1a signatures (Ed25519).
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIX = "whsec_"
PRIVATE_PREFIX = "whsk_"
_MIN_KEY_BYTES, _MAX_KEY_BYTES = 24, 64
_ED25519_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key, as the function that signs with it."""

    version: str
    sign: Callable[[bytes], bytes] = field(repr=False)


def signing_key(secret: str) -> SigningKey:
    """The key in `whsec_<base64>` or `whsk_<base64>`. Raises ValueError without the secret."""
    text = secret.strip()
    is_private = text.startswith(PRIVATE_PREFIX)
    prefix = PRIVATE_PREFIX if is_private else PREFIX
    try:
        key = base64.b64decode(text.removeprefix(prefix), validate=True)
    except binascii.Error:
        raise ValueError("must be whsec_<base64> or whsk_<base64>") from None
    if is_private:
        return _ed25519_key(key)
    if not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise ValueError(f"must contain {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} bytes in base64")
    return hmac_key(key)


def hmac_key(key: bytes) -> SigningKey:
    return SigningKey("v1", lambda signed: hmac.digest(key, signed, hashlib.sha256))


def _ed25519_key(key: bytes) -> SigningKey:
    """`key` is the private key, with or without its public key behind it."""
    private, public = key[:_ED25519_KEY_BYTES], key[_ED25519_KEY_BYTES:]
    if len(private) != _ED25519_KEY_BYTES:
        raise ValueError("must contain the 32 or 64 bytes of an Ed25519 key in base64")
    signer = Ed25519PrivateKey.from_private_bytes(private)
    if public not in {b"", signer.public_key().public_bytes_raw()}:
        raise ValueError("has a public key that does not belong to its private key")
    return SigningKey("v1a", signer.sign)


def signature_headers(
    keys: Sequence[SigningKey], *, message_id: str, at_s: int, body: bytes
) -> dict[str, str]:
    """The headers with a signature by each key; one valid signature is enough for a receiver.

    The id must contain no full stop, which separates the signed parts.
    """
    signed = b".".join((message_id.encode(), str(at_s).encode(), body))
    signatures = (f"{one.version},{base64.b64encode(one.sign(signed)).decode()}" for one in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(signatures),
    }
