"""Credentials that sign the body: an HMAC with configurable parts, and Standard Webhooks."""

import base64
import binascii
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from multidict import MultiMapping

from ringback.services.gateway.endpoints.credentials import Failure, Reason, absent

PLACEHOLDERS = ("body", "timestamp", "method", "url", "svix-id")
_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")

_NUMBER = re.compile(r"[0-9]{1,16}(\.[0-9]{1,9})?")
_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,15}")
"""Beside a signed id. Zeros or a fraction could be characters of the id that someone moved."""
_FIRST_MILLISECONDS = 1e11
"""A timestamp from here on is in milliseconds: in seconds it would be after the year 5000."""

_MAX_SIGNATURES = 8
_MESSAGE_ID = re.compile(r"[!-~]{1,200}")


def payload_parts(template: str) -> tuple[str, ...]:
    """Literals and placeholders in turn, beginning with a literal, which may be empty.

    Raises ValueError for a template that does not cover the body.
    """
    parts = tuple(_PLACEHOLDER.split(template))
    if "body" not in parts[1::2]:
        raise ValueError("must contain {body}: a signature of anything else proves no body")
    if any(re.search(r"\{[\w-]+\}", literal) for literal in parts[::2]):
        names = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ValueError(f"has an unknown placeholder; known are {names}")
    return parts


def check_timestamp(
    name: str,
    headers: MultiMapping[str],
    now_s: float,
    tolerance_s: float | None,
    form: re.Pattern[str] = _NUMBER,
) -> Failure | None:
    """Check that a timestamp in seconds or milliseconds is within the tolerance."""
    text = headers.get(name, "").strip()
    if not text:
        return Failure(Reason.NO_TIMESTAMP, absent(name, headers))
    if tolerance_s is None:
        return None
    if form.fullmatch(text) is None:
        return Failure(Reason.NO_TIMESTAMP, f"{name} is not a number of seconds or milliseconds")
    sent_s = float(text)
    if sent_s >= _FIRST_MILLISECONDS:
        sent_s /= 1000
    off_s = now_s - sent_s
    if abs(off_s) <= tolerance_s:
        return None
    direction = "behind" if off_s > 0 else "ahead of"
    return Failure(
        Reason.STALE_TIMESTAMP,
        f"{name} is {abs(off_s):,.0f} s {direction} this clock; allowed are {tolerance_s:g} s",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hmac:
    """A signature by a shared secret, as Vapi's HMAC credential has it.

    `parts` come from `payload_parts`. Without a timestamp in them, none is checked: an unsigned
    one proves nothing.
    """

    secrets: tuple[bytes, ...] = field(repr=False)
    algorithm: Literal["sha256", "sha512", "sha1"]
    signature_header: str
    timestamp_header: str
    parts: tuple[str, ...]
    encoding: Literal["hex", "base64"]
    prefix: str
    tolerance_s: float | None
    message_id_header: str | None
    url: str | None

    def check_head(self, headers: MultiMapping[str], now_s: float) -> Failure | None:
        if not headers.get(self.signature_header, "").strip():
            return Failure(Reason.NO_SIGNATURE, absent(self.signature_header, headers))
        placeholders = self.parts[1::2]
        if "svix-id" in placeholders and not self._value(headers, self.message_id_header):
            return Failure(Reason.NO_MESSAGE_ID, absent(self.message_id_header or "", headers))
        if "timestamp" in placeholders:
            form = _WHOLE_NUMBER if "svix-id" in placeholders else _NUMBER
            return check_timestamp(self.timestamp_header, headers, now_s, self.tolerance_s, form)
        return None

    def check_body(self, headers: MultiMapping[str], method: str, body: bytes) -> Failure | None:
        given = headers.getall(self.signature_header)[:_MAX_SIGNATURES]
        decoded = [one for text in given if isinstance(one := self._decode(text.strip()), bytes)]
        if not decoded:
            return Failure(Reason.WRONG_SIGNATURE, str(self._decode(given[0].strip())))
        expected = [self.digest(secret, headers, method, body) for secret in self.secrets]
        matches = [hmac.compare_digest(one, other) for one in decoded for other in expected]
        if any(matches):
            return None
        return Failure(
            Reason.WRONG_SIGNATURE,
            f"{self.signature_header} is not the signature of this body by this secret",
        )

    def digest(self, secret: bytes, headers: MultiMapping[str], method: str, body: bytes) -> bytes:
        """The signature, not yet encoded."""
        values = {
            "timestamp": self._value(headers, self.timestamp_header),
            "method": method.encode(),
            "url": (self.url or "").encode(),
            "svix-id": self._value(headers, self.message_id_header),
            "body": body,
        }
        signing = hmac.new(secret, b"", self.algorithm)
        for place, part in enumerate(self.parts):
            signing.update(values[part] if place % 2 else part.encode())
        return signing.digest()

    def encode(self, digest: bytes) -> str:
        """The value of the signature header."""
        text = digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode()
        return f"{self.prefix}{text}"

    def message_id(self, headers: MultiMapping[str]) -> str | None:
        return (
            None
            if self.message_id_header is None
            else message_id(headers.get(self.message_id_header, ""))
        )

    def _decode(self, text: str) -> bytes | str:
        """The bytes of a signature, or what is wrong with its form."""
        name = self.signature_header
        if not text.startswith(self.prefix):
            return f"{name} does not begin with the prefix {self.prefix}"
        size = hmac.new(b"", b"", self.algorithm).digest_size
        found = decode(text.removeprefix(self.prefix), self.encoding)
        if found is None or len(found) != size:
            return f"{name} is not {size} bytes ({self.algorithm}) in {self.encoding}"
        return found

    @staticmethod
    def _value(headers: MultiMapping[str], name: str | None) -> bytes:
        """A header's value as it came; empty if it is absent."""
        text = headers.get(name, "") if name is not None else ""
        return text.strip().encode(errors="surrogateescape")


def decode(text: str, encoding: Literal["hex", "base64"]) -> bytes | None:
    """Decode hex, or base64 of either alphabet, with or without padding; None if it is invalid."""
    try:
        if encoding == "hex":
            return bytes.fromhex(text)
        standard = text.rstrip("=").replace("-", "+").replace("_", "/")
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None


def message_id(text: str) -> str | None:
    """A message id that can be part of a dedup key; None if there is none."""
    text = text.strip()
    return text if _MESSAGE_ID.fullmatch(text) else None


_FAMILIES = ("webhook", "svix")


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardWebhooks:
    """Standard Webhooks, symmetric (v1) and Ed25519 (v1a), also with the header names of Svix."""

    secrets: tuple[bytes, ...] = field(repr=False)
    public_keys: tuple[Ed25519PublicKey, ...]
    tolerance_s: float | None

    def check_head(self, headers: MultiMapping[str], now_s: float) -> Failure | None:
        family = self._family(headers)
        name = f"{family}-signature"
        if not headers.get(name, "").strip():
            return Failure(Reason.NO_SIGNATURE, absent(name, headers))
        if not headers.get(f"{family}-id", "").strip():
            return Failure(Reason.NO_MESSAGE_ID, absent(f"{family}-id", headers))
        return check_timestamp(f"{family}-timestamp", headers, now_s, self.tolerance_s)

    def check_body(self, headers: MultiMapping[str], method: str, body: bytes) -> Failure | None:
        del method
        family = self._family(headers)
        signed = b".".join(
            headers[f"{family}-{name}"].strip().encode(errors="surrogateescape")
            for name in ("id", "timestamp")
        )
        signed += b"." + body
        given = list(self._signatures(headers[f"{family}-signature"]))
        expected = [hmac.digest(secret, signed, "sha256") for secret in self.secrets]
        matches = [
            hmac.compare_digest(one, other)
            for version, one in given
            if version == "v1"
            for other in expected
        ]
        if any(matches) or self._is_signed_by_key(given, signed):
            return None
        if not given:
            wanted = " or ".join(self._versions())
            return Failure(Reason.WRONG_SIGNATURE, f"{family}-signature has no {wanted} signature")
        return Failure(
            Reason.WRONG_SIGNATURE,
            f"{family}-signature is not the signature of this body by this secret",
        )

    def message_id(self, headers: MultiMapping[str]) -> str | None:
        return message_id(headers.get(f"{self._family(headers)}-id", ""))

    @staticmethod
    def _family(headers: MultiMapping[str]) -> str:
        return next((one for one in _FAMILIES if headers.get(f"{one}-signature")), _FAMILIES[0])

    def _versions(self) -> list[str]:
        return ["v1"] * bool(self.secrets) + ["v1a"] * bool(self.public_keys)

    def _signatures(self, text: str) -> Iterator[tuple[str, bytes]]:
        for one in text.split()[:_MAX_SIGNATURES]:
            version, _, encoded = one.partition(",")
            decoded = decode(encoded, "base64")
            if version in self._versions() and decoded is not None:
                yield version, decoded

    def _is_signed_by_key(self, given: list[tuple[str, bytes]], signed: bytes) -> bool:
        for version, signature in given:
            for key in self.public_keys if version == "v1a" else ():
                try:
                    key.verify(signature, signed)
                except InvalidSignature:
                    continue
                return True
        return False
