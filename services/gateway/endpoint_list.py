"""The endpoints that settings describe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from ringback.runtime.setting_checks import header_value
from services.gateway.endpoint import DEFAULT_ENDPOINT_ID, Endpoint

_Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$")]
_Secret = Annotated[
    str, StringConstraints(min_length=1, strip_whitespace=True), AfterValidator(header_value)
]


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
        said = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {said[:1].lower()}{said[1:]}") from None
    if DEFAULT_ENDPOINT_ID in entries:
        raise ValueError(f"the id {DEFAULT_ENDPOINT_ID} belongs to RINGBACK_VAPI_SECRET")
    for name, entry in entries.items():
        if not entry.org_id.int:
            raise ValueError(f"{name}.org_id: {entry.org_id} is the org of messages without one")
    return tuple(_endpoints(entries))


def endpoints_in_file(path: Path) -> tuple[Endpoint, ...]:
    """As `endpoints_in`, from a file. Raises ValueError also when the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8") from None
    return endpoints_in(text)


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
