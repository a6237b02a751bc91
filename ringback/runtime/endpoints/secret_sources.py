"""Where the document's secrets are: inline, in a file, or in an environment variable."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    GetPydanticSchema,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import core_schema

from ringback.runtime.key_set import KeysById, keys_in
from ringback.runtime.outgoing.signature import signing_key

_MAX_SECRET_BYTES = 64 * 1024
_MAX_KEY_SET_BYTES = 1024 * 1024
_SOURCES = ("file", "env")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, and a description of its origin without its value."""

    value: str = field(repr=False)
    source: str


Stamp = tuple[int, ...] | None
"""Differs when a file has changed; None if it cannot be found."""

Files = Mapping[Path, Stamp]


def stamps_of(paths: Iterable[Path]) -> dict[Path, Stamp]:
    return {path: _stamp(path) for path in paths}


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@dataclass(frozen=True, slots=True)
class Sources:
    """Reads secrets, and records the files that it reads, also those that are missing.

    Without `with_signing_secrets` it only checks how the secrets of forwards are declared: a
    gateway needs none of them.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    files: dict[Path, Stamp] = field(default_factory=dict)
    with_signing_secrets: bool = False

    def read(self, path: Path, *, max_bytes: int = _MAX_SECRET_BYTES) -> str:
        """Read a text. Raises ValueError with the reason."""
        self.files[path] = _stamp(path)
        try:
            with path.open("rb") as file:
                found = file.read(max_bytes + 1)
        except OSError as exc:
            raise ValueError(f"{path} cannot be read: {exc.strerror}") from None
        if len(found) > max_bytes:
            raise ValueError(f"{path} has more than {max_bytes:,} bytes")
        try:
            return found.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not UTF-8 text") from None

    def secret(self, declared: object, *, is_read: bool = True) -> Secret:
        """Return the declared secret, without line ends around it. Raises ValueError.

        If it is not read, its value is empty, unless it is in the document itself.
        """
        match declared:
            case str():
                return _secret(declared, "inline")
            case {"file": str(name), **rest} if not rest and name.strip():
                path = Path(name)
                source = f"file {path}"
                return _secret(self.read(path), source) if is_read else Secret("", source)
            case {"env": str(name), **rest} if not rest:
                if not is_read:
                    return Secret("", f"env {name}")
                if name not in self.environ:
                    raise ValueError(f"the environment variable {name} is not set")
                return _secret(self.environ[name], f"env {name}")
            case int() | float():
                raise ValueError("is a number; put it in quotes")
            case _:
                raise ValueError("must be a text, {file: <path>} or {env: <variable>}")


def _secret(text: str, source: str) -> Secret:
    value = text.strip("\r\n")
    where = "" if source == "inline" else f"{source} "
    if not value:
        raise ValueError(f"{where}is empty")
    if value != value.strip():
        raise ValueError(f"{where}begins or ends with whitespace")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{where}is not UTF-8 text")
    return Secret(value, source)


def _resolved(declared: object, info: ValidationInfo) -> tuple[Secret, ...]:
    """One secret, or a list of those that are valid at once."""
    sources = info.context
    assert isinstance(sources, Sources)
    return tuple(sources.secret(one) for one in _several(declared))


def _signing(declared: object, info: ValidationInfo) -> tuple[Secret, ...]:
    sources = info.context
    assert isinstance(sources, Sources)
    is_read = sources.with_signing_secrets
    secrets = tuple(sources.secret(one, is_read=is_read) for one in _several(declared))
    for secret in secrets:
        if secret.value:
            try:
                signing_key(secret.value)
            except ValueError as exc:
                where = "" if secret.source == "inline" else f"{secret.source} "
                raise ValueError(f"{where}{exc}") from None
    return secrets


def _several(declared: object) -> list[object]:
    several = declared if isinstance(declared, list) else [declared]
    if not several:
        raise ValueError("must have at least one secret")
    return several


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The public keys in a file."""

    source: str
    keys: KeysById = field(repr=False)


def _key_file(declared: object, info: ValidationInfo) -> KeyFile:
    sources = info.context
    assert isinstance(sources, Sources)
    if not isinstance(declared, str) or not declared.strip():
        raise ValueError("must be the path of a file")
    path = Path(declared)
    return KeyFile(f"file {path}", keys_in(sources.read(path, max_bytes=_MAX_KEY_SET_BYTES), path))


KeySetFile = Annotated[
    KeyFile,
    GetPydanticSchema(lambda _source, _handler: core_schema.any_schema()),
    BeforeValidator(_key_file),
    PlainSerializer(lambda found: found.source.removeprefix("file ")),
    WithJsonSchema({"type": "string", "minLength": 1}),
]
"""A file with the public keys of an OAuth2 server (JWKS)."""


_ONE: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        *(
            {
                "type": "object",
                "properties": {source: {"type": "string", "minLength": 1}},
                "required": [source],
                "additionalProperties": False,
            }
            for source in _SOURCES
        ),
    ]
}

_ANY_SCHEMA = GetPydanticSchema(lambda _source, _handler: core_schema.any_schema())
_SOURCES_ONLY = PlainSerializer(lambda secrets: [f"<{one.source}>" for one in secrets])
_SECRETS_SCHEMA = WithJsonSchema({"anyOf": [_ONE, {"type": "array", "items": _ONE, "minItems": 1}]})

Secrets = Annotated[
    tuple[Secret, ...], _ANY_SCHEMA, BeforeValidator(_resolved), _SOURCES_ONLY, _SECRETS_SCHEMA
]
"""One or several secrets; several are valid at once, while one is being replaced."""

SigningSecrets = Annotated[
    tuple[Secret, ...], _ANY_SCHEMA, BeforeValidator(_signing), _SOURCES_ONLY, _SECRETS_SCHEMA
]
"""The secrets of a forward. Each signs, so that the receiver may know the old or the new one."""
