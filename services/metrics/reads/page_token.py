"""Where the next page begins, as a text that callers hand back unread.

A token holds the last key of its page and a checksum over that key and over the request, without
what may change between pages. So garbage, and a token of another request, are told apart from ours.
It is no secret and grants nothing: whoever makes one up sees another part of what is theirs anyway.
"""

import base64
import binascii
from hashlib import blake2b

from google.protobuf.message import Message

_CHECKSUM_BYTES = 8
_MAY_CHANGE = ("page_token", "page_size", "limit")


class BadPageToken(ValueError):  # ruff: ignore[error-suffix-on-exception-name]  # it names what is bad
    """The text is no token of this request; the message says so in a sentence for the caller."""


def token_after(key: bytes, request: Message) -> str:
    """The token of the page that follows `key`, the last key of the page that answers `request`."""
    return base64.urlsafe_b64encode(_checksum(key, request) + key).rstrip(b"=").decode()


def key_of(token: str, request: Message) -> bytes:
    """The key after which the page begins that `request` asks for by `token`.

    Raises BadPageToken, also when other fields than the size of the page differ from those of the
    request that the token answered.
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
