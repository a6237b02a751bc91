"""The start of the next page, as an opaque text.

A token contains the last key of its page and a checksum of that key and of the request, without the
fields that may change between pages. This detects garbage and tokens of other requests. It is no
secret and grants nothing: a forged token shows another part of the caller's own data.
"""

import base64
import binascii
from hashlib import blake2b

from google.protobuf.message import Message

_CHECKSUM_BYTES = 8
_MAY_CHANGE = ("page_token", "page_size", "limit")


class BadPageToken(ValueError):  # ruff: ignore[error-suffix-on-exception-name]  # it names what is bad
    """The text is no token of this request; the message is for the caller."""


def token_after(key: bytes, request: Message) -> str:
    """The token of the page that follows `key`, the last key of the page that answers `request`."""
    return base64.urlsafe_b64encode(_checksum(key, request) + key).rstrip(b"=").decode()


def key_of(token: str, request: Message) -> bytes:
    """The key after which the page that `request` asks for by `token` begins.

    Raises BadPageToken, also when a field other than the page size differs from the request that
    returned the token.
    """
    try:
        padded = token + "=" * (-len(token) % 4)
        raw = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise BadPageToken("page_token is none that was given in an answer.") from exc
    checksum, key = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
    if not key or checksum != _checksum(key, request):
        raise BadPageToken(
            "page_token was not given in an answer to a request with these other fields."
        )
    return key


def _checksum(key: bytes, request: Message) -> bytes:
    asked = type(request)()
    asked.CopyFrom(request)
    for field in asked.DESCRIPTOR.fields:
        if field.name in _MAY_CHANGE:
            asked.ClearField(field.name)
    digest = blake2b(asked.DESCRIPTOR.full_name.encode(), digest_size=_CHECKSUM_BYTES)
    digest.update(b"\0" + len(key).to_bytes(4, "big") + key)
    digest.update(asked.SerializeToString(deterministic=True))
    return digest.digest()
