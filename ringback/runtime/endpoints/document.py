"""What every reader of the endpoints file shares: common fields, and its mistakes as sentences."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from ringback.runtime.endpoints.document_text import UnreadableError, read_text
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.runtime.process.settings import http_url, rule_of

MAX_BYTES = 64 * 1024 * 1024
"""About 100,000 endpoints with several credentials each."""

ANY_TYPE = "*"

FILE_SETTING = (
    "A file in YAML or JSON that declares endpoints: credentials of every kind, answers to "
    "questions, forwards, and more. It is read again when it changes. See "
    "docs/how-to/declare-endpoints.md. Use it instead of RINGBACK_ENDPOINTS. A processor reads "
    "only the forwards in it."
)
"""The description of the setting, the same for each service that reads it."""

_KINDS = frozenset({"header", "bearer", "hmac", "standard_webhooks", "oauth2"})
M = TypeVar("M", bound=BaseModel)


class DocumentError(ValueError):
    """The document is not usable. Each problem names the entry and the cause, never a secret."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )


HttpUrl = Annotated[str, AfterValidator(http_url)]

EventTypes = Annotated[str, StringConstraints(pattern=r'^(\*|[A-Za-z0-9._\[\]="-]{1,254}\*?)$')]
"""A type of event, or the beginning of several types and `*`."""


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise ValueError(
            "must be a network such as 167.150.224.0/23: all bits after the first 23 are 0"
        ) from None
    return text


NetworkText = Annotated[str, AfterValidator(_network)]


def is_listed(event_type: str, listed: Iterable[str]) -> bool:
    """Whether a list of EventTypes has this type, with or without what is in its brackets."""
    base = event_type.partition("[")[0]
    return any(
        event_type.startswith(one[:-1]) if one.endswith(ANY_TYPE) else one in {event_type, base}
        for one in listed
    )


def read_as(model: type[M], path: Path, sources: Sources) -> M:
    """Read a file. Raises DocumentError, also when the file cannot be read."""
    try:
        text = sources.read(path, max_bytes=MAX_BYTES)
    except ValueError as exc:
        raise DocumentError([str(exc)]) from None
    return parse_as(model, text, sources)


def parse_as(model: type[M], text: str, sources: Sources) -> M:
    """Read a document in YAML or JSON. Raises DocumentError."""
    try:
        return model.model_validate(values_in(text), context=sources)
    except ValidationError as exc:
        raise DocumentError(list(problems_in(exc))) from None


def values_in(text: str) -> object:
    try:
        return read_text(text)
    except UnreadableError as exc:
        raise DocumentError([str(exc)]) from None


def problems_in(error: ValidationError) -> Iterator[str]:
    for one in error.errors(include_url=False, include_input=False):
        where = ".".join(_path(one)) or "the document"
        yield f"{where}: {_reason(one)}"


def _path(error: ErrorDetails) -> Iterator[str]:
    """The place of an error as the file names it, without `endpoints` and without the kind."""
    parts = [part for part in error["loc"] if part != "[key]"]
    if len(parts) > 1 and parts[0] == "endpoints":
        parts = parts[1:]
    for place, part in enumerate(parts):
        if not (place and isinstance(parts[place - 1], int) and part in _KINDS):
            yield str(part)


def _reason(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    cause = context.get("error")
    match error["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "there is no such field"
        case "value_error" if cause is not None:
            return str(cause)
        case "union_tag_invalid":
            return f"kind must be one of {context['expected_tags']}, not {context['tag']!r}"
        case "union_tag_not_found":
            return "kind is required"
        case _:
            return rule_of(error)
