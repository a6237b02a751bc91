"""Reads requests: fields, and page tokens.

A page token identifies the start of the next page. It contains the last key of the page before, and
a checksum of that key and of the request, without the fields that may change between pages. The
checksum detects garbage and tokens of other requests. A token is not a secret and grants nothing: a
forged one shows another part of the caller's own data.
"""

import base64
import binascii
from datetime import UTC, datetime
from hashlib import blake2b
from uuid import UUID

from google.protobuf.message import Message

from ringback.services.metrics.transport.errors import Violation, invalid

MAX_REASON = 500
_CHECKSUM_BYTES = 8
_UUID_CHARACTERS = 36
_UUID_BYTES = 16
_MAY_CHANGE = ("page_token", "page_size", "limit")


class InvalidPageTokenError(ValueError):
    """The text is not a page token of this request. The message is for the caller."""


def token_after(key: bytes, request: Message) -> str:
    """The token of the next page. `key` is the last key of the page that answers `request`."""
    return base64.urlsafe_b64encode(_checksum(key, request) + key).rstrip(b"=").decode()


def key_of(token: str, request: Message) -> bytes:
    """The key in `token`; the requested page begins after it.

    Raises InvalidPageTokenError, also if a field other than the page size differs from the request
    whose answer contained the token.
    """
    try:
        padded = token + "=" * (-len(token) % 4)
        raw = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise InvalidPageTokenError("page_token is not a token from an earlier answer.") from exc
    checksum, key = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
    if not key or checksum != _checksum(key, request):
        raise InvalidPageTokenError(
            "page_token comes from a request with other fields; repeat them unchanged."
        )
    return key


def _checksum(key: bytes, request: Message) -> bytes:
    fixed = type(request)()
    fixed.CopyFrom(request)
    for field in fixed.DESCRIPTOR.fields:
        if field.name in _MAY_CHANGE:
            fixed.ClearField(field.name)
    digest = blake2b(fixed.DESCRIPTOR.full_name.encode(), digest_size=_CHECKSUM_BYTES)
    digest.update(b"\0" + len(key).to_bytes(4, "big") + key)
    digest.update(fixed.SerializeToString(deterministic=True))
    return digest.digest()


class RequestReader:
    """Reads the fields of a request, and reports all violations together.

    Each method returns a valid value, or records a violation and returns a placeholder. Field names
    are those of the contract; `prefix` is the path to a message inside the request. Call `check`
    last: it raises ApiError INVALID_ARGUMENT with every recorded violation.
    """

    def __init__(self, request: Message, prefix: str = "") -> None:
        self._request = request
        self._prefix = prefix
        self._violations: list[Violation] = []

    def uuid(self, field: str) -> UUID | None:
        """None if it is absent."""
        text: str = getattr(self._request, field)
        if not text:
            return None
        try:
            value = UUID(text)
        except ValueError:
            value = None
        if value is None or len(text) != _UUID_CHARACTERS:
            self.add_violation(field, f"must be a UUID, not {text[:40]!r}.")
            return None
        return value

    def text(self, field: str) -> str | None:
        """None if it is absent."""
        text: str = getattr(self._request, field)
        return text or None

    def time_range(self) -> tuple[datetime | None, datetime | None]:
        """From `start_time` up to before `end_time`, in UTC; None if it is absent."""
        start, end = (
            getattr(self._request, field).ToDatetime(UTC) if self._request.HasField(field) else None
            for field in ("start_time", "end_time")
        )
        if start is not None and end is not None and end <= start:
            self.add_violation("end_time", "must be after start_time.")
        return start, end

    def page_size(self, field: str, *, default: int, maximum: int) -> int:
        """From 1 to `maximum`: a larger size becomes `maximum`, and 0 becomes `default`."""
        size: int = getattr(self._request, field)
        if size < 0:
            self.add_violation(field, "must be at least 0.")
        return min(size, maximum) if size > 0 else default

    def page_key(self) -> bytes | None:
        """The key after which the page begins; None for the first page."""
        token: str = getattr(self._request, "page_token", "")
        if not token:
            return None
        try:
            return key_of(token, self._request)
        except InvalidPageTokenError as exc:
            self._violations.append(Violation("page_token", str(exc)))
            return None

    def page_id(self) -> UUID | None:
        """Like `page_key`, for a key that is the id of a webhook."""
        key = self.page_key()
        if key is not None and len(key) != _UUID_BYTES:
            self.add_violation("page_token", "is not a token from an earlier answer.")
            return None
        return UUID(bytes=key) if key else None

    def page_pair(self) -> tuple[str, str] | tuple[None, None]:
        """Like `page_key`, for a key of two texts with U+0000 between them."""
        key = self.page_key()
        if key is None:
            return None, None
        first, between, second = key.decode(errors="replace").partition("\0")
        if not between or "\0" in second:
            self.add_violation("page_token", "is not a token from an earlier answer.")
        return first, second

    def job_id(self) -> UUID:
        """The placeholder matches no webhook; `check` then rejects the request."""
        job_id = self.uuid("job_id")
        if job_id is None and not self.text("job_id"):
            self.add_violation("job_id", "is required.")
        return job_id or UUID(int=0)

    def reason(self, *, required: bool) -> str:
        """The reason, stripped; empty if it is optional and missing."""
        reason = (self.text("reason") or "").strip()
        if required and not reason:
            self.add_violation("reason", "is required.")
        if len(reason) > MAX_REASON:
            self.add_violation("reason", f"must have at most {MAX_REASON} characters.")
        return reason

    def add_violation(self, field: str, problem: str) -> None:
        """`problem` completes a sentence that begins with the field's name."""
        path = f"{self._prefix}{field}"
        self._violations.append(Violation(path, f"{path} {problem}"))

    def check(self) -> None:
        if self._violations:
            raise invalid(*self._violations)
