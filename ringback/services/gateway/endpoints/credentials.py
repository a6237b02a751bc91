"""Credentials that authenticate a sender, and why one fails. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hmac import compare_digest
from typing import Protocol

from multidict import MultiMapping

AUTHORIZATION_HEADER = "Authorization"

_BEARER = "bearer"


class Reason(StrEnum):
    """Why a credential fails. They are in the order of the checks: a later one passed more."""

    NO_SECRET = "no_secret"  # ruff: ignore[hardcoded-password-string]  # a label
    NO_SIGNATURE = "no_signature"
    NO_TOKEN = "no_token"  # ruff: ignore[hardcoded-password-string]  # a label
    WRONG_SCHEME = "wrong_scheme"
    NO_MESSAGE_ID = "no_message_id"
    NO_TIMESTAMP = "no_timestamp"
    STALE_TIMESTAMP = "stale_timestamp"
    WRONG_TOKEN = "wrong_token"  # ruff: ignore[hardcoded-password-string]  # a label
    WRONG_SECRET = "wrong_secret"  # ruff: ignore[hardcoded-password-string]  # a label
    WRONG_SIGNATURE = "wrong_signature"
    KEYS_UNAVAILABLE = "keys_unavailable"


_ORDER = {reason: place for place, reason in enumerate(Reason)}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one credential failed. `detail` is for the operator; it contains no values."""

    reason: Reason
    detail: str


def furthest(failures: Iterable[Failure]) -> Reason:
    """The reason of the credential that the sender most likely meant to use."""
    return max((failure.reason for failure in failures), key=_ORDER.__getitem__)


class Credential(Protocol):
    """One way to authenticate the sender of a webhook."""

    def check_head(self, headers: MultiMapping[str], now_s: float) -> Failure | None:
        """Check everything that needs only the headers."""


class Signature(Credential, Protocol):
    """A credential that also needs the body."""

    def check_body(self, headers: MultiMapping[str], method: str, body: bytes) -> Failure | None:
        """Check the body, whose headers passed `check_head`."""

    def message_id(self, headers: MultiMapping[str]) -> str | None:
        """The sender's id of the message, if there is one that can be a dedup key."""


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """A secret in one of these headers, with or without `Bearer` in front of it.

    Several secrets are valid while one is being replaced.
    """

    headers: tuple[str, ...]
    secrets: tuple[bytes, ...] = field(repr=False)

    def check_head(self, headers: MultiMapping[str], now_s: float) -> Failure | None:
        """Take the same time whichever secret is wrong, and wherever it differs."""
        del now_s
        given: list[bytes] = []
        for name in self.headers:
            for value in headers.getall(name, ()):
                given += _secrets_in(value)
        matches = [compare_digest(secret, one) for one in given for secret in self.secrets]
        if any(matches):
            return None
        return self._failure(headers, is_given=bool(given))

    def _failure(self, headers: MultiMapping[str], *, is_given: bool) -> Failure:
        if not is_given:
            return Failure(Reason.NO_SECRET, _absent(self.headers, headers))
        values = [
            (name, value.strip())
            for name in self.headers
            for value in headers.getall(name, ())
            if value.strip()
        ]
        names = " and ".join(dict(values))
        if all(
            name.lower() == AUTHORIZATION_HEADER.lower() and _has_other_scheme(value)
            for name, value in values
        ):
            return Failure(Reason.WRONG_SCHEME, f"{names} has another scheme than Bearer")
        return Failure(Reason.WRONG_SECRET, f"{names} has no secret of this credential")


def _secrets_in(value: str) -> tuple[bytes, ...]:
    """What may be the secret: the whole value, and what follows `Bearer`.

    Vapi sends an empty X-Vapi-Secret if no credential is set.
    """
    whole = value.strip()
    if not whole:
        return ()
    encoded = whole.encode(errors="surrogateescape")
    scheme, _, token = whole.partition(" ")
    if scheme.lower() != _BEARER:
        return (encoded,)
    return (encoded, token.strip().encode(errors="surrogateescape")) if token else ()


def _has_other_scheme(value: str) -> bool:
    scheme, _, rest = value.partition(" ")
    return bool(rest) and scheme.lower() != _BEARER


def _absent(names: Iterable[str], headers: Mapping[str, str]) -> str:
    """Which headers are absent or empty, as a sentence."""
    return " and ".join(f"{name} is {'empty' if name in headers else 'absent'}" for name in names)


def absent(name: str, headers: Mapping[str, str]) -> str:
    return _absent((name,), headers)
