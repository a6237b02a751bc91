"""Reads endpoints from their document, and lists all of its mistakes at once."""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ringback.runtime.endpoints.document import (
    DocumentError,
    parse_as,
    problems_in,
    read_as,
    values_in,
)
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.services.gateway.endpoints.declared import (
    DeclaredEntries,
    EndpointEntry,
    EndpointId,
    EndpointsDocument,
)
from ringback.services.gateway.endpoints.endpoint import Endpoint

Entries = dict[EndpointId, EndpointEntry]

_ENTRIES: TypeAdapter[Entries] = TypeAdapter(DeclaredEntries)


def parse_entries(text: str, sources: Sources) -> Entries:
    """Read `{"acme": {"org_id": "…", …}}`, the entries alone. Raises DocumentError."""
    try:
        entries = _ENTRIES.validate_python(values_in(text), context=sources)
    except ValidationError as exc:
        raise DocumentError(list(problems_in(exc))) from None
    problems = [
        f"{name}.forward: declare it in RINGBACK_ENDPOINTS_FILE, which processors read too"
        for name, entry in entries.items()
        if entry.forward
    ]
    if problems:
        raise DocumentError(problems)
    return entries


def parse_document(text: str, sources: Sources) -> Entries:
    """Read a whole document, in YAML or JSON. Raises DocumentError."""
    return parse_as(EndpointsDocument, text, sources).endpoints


def read_document(path: Path, sources: Sources) -> Entries:
    """Read a file. Raises DocumentError, also when the file cannot be read."""
    return read_as(EndpointsDocument, path, sources).endpoints


def built(entries: Entries) -> tuple[Endpoint, ...]:
    return tuple(entry.built(endpoint_id) for endpoint_id, entry in entries.items())
