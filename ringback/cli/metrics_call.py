"""Connects commands to the metrics API, and turns its errors into sentences."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ringback.cli.answers import make_printable
from ringback.cli.failure import BadInputError, CommandError
from ringback.cli.metrics_place import MetricsPlace
from ringback.local.console import printable
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

_TIMEOUT_S = 15.0

Words = Annotated[str, Parameter(show_default=False)]
"""An optional text option."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of every command that uses the metrics API."""

    json: Annotated[bool, Parameter(negative="", show_default=False)] = False
    """Print the answer as JSON, as the REST API gives it."""
    data: Path = Path(".ringback")
    """The folder that `ringback up` was given."""


USUAL = Asked()


@asynccontextmanager
async def metrics_client(asked: Asked) -> AsyncGenerator[MetricsClient, None]:
    """A client for the address in the environment, else for the local stack.

    Its answers are prepared for a screen, except for JSON output, which is unchanged. Any error of
    the service inside the context becomes a CommandError. Raises what `MetricsPlace.from_env`
    raises.
    """
    place = MetricsPlace.from_env(asked.data)
    try:
        client = MetricsClient(
            place.address,
            token=place.token,
            timeout_s=_TIMEOUT_S,
            tls=place.tls,
            root_certificates=place.root_certificates,
            received=None if asked.json else make_printable,
        )
    except OSError as exc:
        raise BadInputError(f"{place.root_certificates} cannot be read: {exc.strerror}.") from exc
    async with client:
        try:
            yield client
        except MetricsError as exc:
            raise told(exc, place) from exc


def told(failed: MetricsError, place: MetricsPlace) -> CommandError:
    """The sentence for the user."""
    message = printable(failed.message)
    service = f"The metrics service at {place.address}"
    match failed:
        case InvalidRequestError():
            return BadInputError(message)
        case UnavailableError(reason=""):
            words = f"{service} cannot be reached."
        case UnavailableError():
            words = f"{service} cannot do this for now: {message}"
        case UnauthenticatedError():
            words = f"{service} refuses the token from {place.token_source}: {message}"
        case PermissionDeniedError():
            words = f"Not allowed: {message} The token is from {place.token_source}."
        case DeadlineError():
            words = f"{service} did not answer in time. A change may have been made all the same."
        case NotFoundError() | PreconditionError():
            words = f"{message}{_retried_as(failed)}"
        case _:
            words = f"{service} failed: {message} ({failed.code.name})"
    return CommandError(words)


def _retried_as(failed: MetricsError) -> str:
    new_job_id = printable(failed.metadata.get("newJobId", ""))
    if not new_job_id:
        return ""
    return f"\n`ringback delivery show {new_job_id}` shows what became of it."
