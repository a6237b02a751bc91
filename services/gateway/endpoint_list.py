"""The endpoints that settings describe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from services.gateway.endpoint import DEFAULT_ENDPOINT_ID, Endpoint

_Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$")]
_Secret = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    org_id: UUID
    secret: _Secret | list[_Secret] = []


_ENTRIES = TypeAdapter(dict[_Id, _Entry])


def endpoints_in(document: str) -> tuple[Endpoint, ...]:
    """Read `{"acme": {"org_id": "…", "secret": "…" or ["new", "old"]}}`.

    Raises ValueError with a sentence that names the entry, and never shows a secret.
    """
    try:
        entries = _ENTRIES.validate_json(document)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"][:2]) or "the document"
        raise ValueError(f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None
    if DEFAULT_ENDPOINT_ID in entries:
        raise ValueError(f"the id {DEFAULT_ENDPOINT_ID} belongs to RINGBACK_VAPI_SECRET")
    return tuple(_endpoints(entries))


def endpoints_in_file(path: Path) -> tuple[Endpoint, ...]:
    """As `endpoints_in`, from a file. Raises ValueError also when the file cannot be read."""
    try:
        return endpoints_in(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc.strerror}") from None


def _endpoints(entries: Mapping[str, _Entry]) -> list[Endpoint]:
    return [
        Endpoint(
            id=endpoint_id,
            org_id=entry.org_id,
            secrets=tuple(
                secret.encode()
                for secret in ([entry.secret] if isinstance(entry.secret, str) else entry.secret)
            ),
        )
        for endpoint_id, entry in entries.items()
    ]
