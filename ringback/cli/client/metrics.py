"""The client of the metrics API, with its address, token and errors."""

import os
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from pydantic import AfterValidator, Field
from rich.console import RenderableType

from ringback.cli.client.addresses import local_ports
from ringback.cli.client.signing import Claims, signer, whoami
from ringback.cli.options import Flag
from ringback.cli.terminal import BadInputError, CommandError, out, write_json
from ringback.local.console import printable
from ringback.local.ports import LOOPBACK
from ringback.metrics import (
    DeadlineError,
    InvalidRequestError,
    MetricsClient,
    MetricsError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnavailableError,
)
from ringback.metrics.json_document import json_bytes
from ringback.metrics.message_field import is_message, map_value
from ringback.metrics.pages import AsyncPages
from ringback.runtime.process.settings import HeaderSecret, Settings, load

_ADDRESS = re.compile(r"(?:(https?)://)?((?:[\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5})/?")
_TTL_S = 300


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("must be host:port of the gRPC API, or https://host:port with TLS")
    return text


class MetricsTargetSettings(Settings):
    metrics_url: Annotated[str, AfterValidator(_address)] | None = Field(
        default=None, description="The gRPC API, host:port."
    )
    metrics_root_certificates: Path | None = Field(
        default=None, description="A PEM file with the CA certificate of a service with TLS."
    )
    token: HeaderSecret | None = Field(default=None, description="A token for the metrics API.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsTarget:
    address: str
    tls: bool
    root_certificates: Path | None
    token: Callable[[], str]
    token_source: str
    """The origin of the token, for the error message if it is rejected."""

    @classmethod
    def from_env(cls, state_dir: Path, environ: Mapping[str, str] = os.environ) -> "MetricsTarget":
        """Read the address and token from the environment, else from the local stack.

        Raises SettingsError, or BadInputError if there is neither a token nor a key for one.
        """
        settings = load(MetricsTargetSettings, environ)
        given = _ADDRESS.fullmatch(settings.metrics_url) if settings.metrics_url else None
        if given:
            scheme, address = given.groups()
        else:
            ports = local_ports(environ, state_dir).services
            scheme, address = None, f"{LOOPBACK}:{ports.metrics_grpc}"
        token, source = _token(settings, environ, state_dir)
        return cls(
            address=address,
            tls=scheme == "https",
            root_certificates=settings.metrics_root_certificates,
            token=token,
            token_source=source,
        )


def _token(
    settings: MetricsTargetSettings, environ: Mapping[str, str], state_dir: Path
) -> tuple[Callable[[], str], str]:
    if settings.token is not None:
        token = settings.token.get_secret_value()
        return lambda: token, "RINGBACK_TOKEN"
    signing = signer(environ, state_dir)
    claims = Claims("service", None, whoami(), _TTL_S)
    return lambda: signing.token(claims), f"the key {signing.source}"


_TIMEOUT_S = 15.0


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class CommonOptions:
    """The options of every command that uses the metrics API."""

    json: Flag = False
    """Print JSON, in the format of the REST API."""
    data: Path = Path(".ringback")
    """The data folder of `ringback up`."""


DEFAULT_OPTIONS = CommonOptions()


@asynccontextmanager
async def metrics_client(options: CommonOptions) -> AsyncGenerator[MetricsClient, None]:
    """Connect to the metrics API. Its errors inside the context become CommandError.

    Texts in its responses are made printable, except for JSON output. Raises the errors of
    `MetricsTarget.from_env`, too.
    """
    target = MetricsTarget.from_env(options.data)
    try:
        client = MetricsClient(
            target.address,
            token=target.token,
            timeout_s=_TIMEOUT_S,
            tls=target.tls,
            root_certificates=target.root_certificates,
            received=None if options.json else make_printable,
        )
    except OSError as exc:
        raise BadInputError(f"{target.root_certificates} cannot be read: {exc.strerror}.") from exc
    async with client:
        try:
            yield client
        except MetricsError as exc:
            raise command_error(exc, target) from exc


def command_error(failed: MetricsError, target: MetricsTarget) -> CommandError:
    """The error message for the user."""
    message = printable(failed.message)
    service = f"The metrics service at {target.address}"
    match failed:
        case InvalidRequestError():
            return BadInputError(_FIELD.sub(lambda found: _OPTIONS[found[1]], message))
        case UnavailableError(reason=""):
            sentence = f"{service} cannot be reached."
        case UnavailableError():
            sentence = f"{service} is temporarily unavailable: {message}"
        case UnauthenticatedError():
            sentence = f"{service} rejected the token from {target.token_source}: {message}"
        case PermissionDeniedError():
            sentence = f"Not allowed: {message} The token is from {target.token_source}."
        case DeadlineError():
            sentence = f"{service} did not answer in time. It may still make the change."
        case NotFoundError() | PreconditionError():
            sentence = f"{message}{_next_step(failed)}"
        case _:
            sentence = f"{service} failed: {message} ({failed.code.name})"
    return CommandError(sentence)


_OPTIONS = {
    "org_id": "--org",
    "job_id_prefix": "--job",
    "start_time": "--since",
    "end_time": "--until",
    "event_type": "--event-type",
    "error_class": "--error-class",
    "call_id": "--call-id",
}
_FIELD = re.compile(rf"\b(?:filter\.)?({'|'.join(_OPTIONS)})\b")
"""A field of a request, which has another name as an option of a command."""


_OTHER_STATE = {"NOT_A_DEAD_LETTER", "NOT_A_DUPLICATE", "NOT_WAITING"}


def _next_step(failed: MetricsError) -> str:
    new_job_id = printable(failed.metadata.get("newJobId", ""))
    if new_job_id:
        return f"\n`ringback delivery show {new_job_id}` shows the retry."
    if failed.reason in _OTHER_STATE:
        return "\n`ringback delivery show JOB` shows its state."
    return ""


def make_printable(response: Message) -> None:
    """Make every text of a response printable. Map keys stay, so that none is overwritten."""
    for field, value in response.ListFields():
        if map_value(field) is not None:
            for part in value.values():
                make_printable(part)
        elif is_message(field):
            for part in value if field.is_repeated else (value,):
                make_printable(part)
        elif field.type == FieldDescriptor.TYPE_STRING and field.is_repeated:
            value[:] = [printable(one) for one in value]
        elif field.type == FieldDescriptor.TYPE_STRING:
            setattr(response, field.name, printable(value))


def print_json(message: Message) -> None:
    """Print a response in the JSON of the REST API, on one line, unbuffered."""
    write_json(json_bytes(message))


def show(
    answer: Message, options: CommonOptions, *parts: RenderableType, soft_wrap: bool = False
) -> None:
    """Print a response: as JSON if the user wants that, otherwise these parts."""
    if options.json:
        print_json(answer)
        return
    for part in parts:
        out().print(part, soft_wrap=soft_wrap)


async def show_pages(
    pages: AsyncPages[Any, Any],
    options: CommonOptions,
    show_page: Callable[[Any], int],
    *,
    every: bool,
    nothing: str,
    order: str = "newest",
) -> bool:
    """Print the first page that is not empty, or with `every` all; without any, print `nothing`.

    `show_page` prints a page and returns how many items it has. With --json the first page is
    printed, or with `every` each item on a line. Return whether items were printed as text.
    """
    count = 0
    if options.json:
        if not every:
            print_json(await anext(pages.by_page()))
            return False
        async for item in pages:
            print_json(item)
        return False
    async for page in pages.by_page():
        count += show_page(page)
        if count and not every:
            if page.next_page_token:
                out().print(f"\nThese are the {order} {count}. Use --all to list all.")
            break
    if not count:
        out().print(nothing)
    return count > 0
