"""Parses the fields of a request, and reports all violations together."""

from uuid import UUID

from google.protobuf.message import Message

from services.metrics.api.errors import Violation, invalid
from services.metrics.reads.page_token import BadPageToken, key_of

_UUID_CHARACTERS = 36
_UUID_BYTES = 16


class Asked:
    """Each method returns a valid value, or records a violation and returns a placeholder.

    Field names are those of the contract. Call `accept` last: it raises ApiError INVALID_ARGUMENT
    with every recorded violation.
    """

    def __init__(self, request: Message) -> None:
        self._request = request
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
            self.refuse(field, "is no UUID.")
            return None
        return value

    def text(self, field: str) -> str | None:
        """None if it is absent."""
        text: str = getattr(self._request, field)
        return text or None

    def page_size(self, field: str, *, default: int, most: int) -> int:
        """From 1 to `most`: larger ones are made smaller, and 0 is `default`."""
        size: int = getattr(self._request, field)
        if size < 0:
            self.refuse(field, "is less than 0.")
        return min(size, most) if size > 0 else default

    def page_key(self) -> bytes | None:
        """The key after which the page begins; None for the first page."""
        token: str = getattr(self._request, "page_token", "")
        if not token:
            return None
        try:
            return key_of(token, self._request)
        except BadPageToken as exc:
            self._violations.append(Violation("page_token", str(exc)))
            return None

    def page_id(self) -> UUID | None:
        """As `page_key`, where the key is the id of a webhook."""
        key = self.page_key()
        if key is not None and len(key) != _UUID_BYTES:
            self.refuse("page_token", "is none that was given in an answer.")
            return None
        return UUID(bytes=key) if key else None

    def page_pair(self) -> tuple[str, str] | tuple[None, None]:
        """Like `page_key`, for a key of two texts joined by U+0000, which neither can contain."""
        key = self.page_key()
        if key is None:
            return None, None
        first, between, second = key.decode(errors="replace").partition("\0")
        if not between or "\0" in second:
            self.refuse("page_token", "is none that was given in an answer.")
        return first, second

    def refuse(self, field: str, what_is_wrong: str) -> None:
        self._violations.append(Violation(field, f"{field} {what_is_wrong}"))

    def accept(self) -> None:
        if self._violations:
            raise invalid(*self._violations)
