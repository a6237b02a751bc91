"""Finds the webhook or the retry run that a user means by the beginning of its id."""

from collections.abc import Iterable

from ringback.cli.terminal import BadInputError, CommandError
from ringback.cli.views.formatting import moment, status_words
from ringback.contract.identity import ids_beginning_with
from ringback.local.console import printable
from ringback.metrics import MetricsClient
from ringback.metrics.v1.delivery_pb2 import Delivery

MAX_CANDIDATES = 5
_UUID_LENGTH = 36


async def resolve_job_id(client: MetricsClient, text: str) -> str:
    """The job id that is, or begins with, `text`.

    Raises MetricsError; BadInputError with the candidates if there are several, or if no job id
    can begin with this text; CommandError if there is none.
    """
    first, last = job_id_range(text)
    if first == last:
        return first
    pages = client.deliveries(job_id_prefix=text.strip(), page_size=MAX_CANDIDATES + 1)
    page = await anext(pages.by_page())
    match page.deliveries:
        case [only]:
            return only.job_id
        case []:
            raise CommandError(f"There is no webhook whose job id begins with {text}.")
        case several:
            raise ambiguous(text, map(_candidate, several))


async def resolve_run_id(client: MetricsClient, text: str) -> str:
    """The id of the only retry run whose id begins like this. Raises CommandError."""
    if len(text) >= _UUID_LENGTH:
        return text
    listed = client.retry_runs(page_size=100)
    found = [run.run_id async for run in listed if run.run_id.startswith(text.lower())]
    if len(found) != 1:
        many = "Several runs begin" if found else "No run begins"
        raise CommandError(f"{many} with {text}; `ringback runs list` shows their ids.")
    return found[0]


def job_id_range(text: str) -> tuple[str, str]:
    """The first and the last job id that begin with `text`. Raises BadInputError."""
    ids = ids_beginning_with(text.strip())
    if ids is None:
        raise BadInputError(
            f"{printable(text)!r} is neither a job id nor the beginning of one with at least 4 "
            "hexadecimal digits."
        )
    return str(ids[0]), str(ids[1])


def ambiguous(text: str, candidates: Iterable[str]) -> BadInputError:
    """Name the candidates, each in a line; more than MAX_CANDIDATES are not shown."""
    lines = list(candidates)
    count = str(len(lines)) if len(lines) <= MAX_CANDIDATES else f"More than {MAX_CANDIDATES}"
    named = "\n".join(f"    {line}" for line in lines[:MAX_CANDIDATES])
    return BadInputError(
        f"{count} webhooks have a job id that begins with {text}. Give more of it:\n{named}"
        + ("\n    ..." if len(lines) > MAX_CANDIDATES else "")
    )


def _candidate(one: Delivery) -> str:
    words = f"{one.job_id}  {printable(one.event_type)}  {status_words(one)}"
    return f"{words}  {moment(one.created_at):%Y-%m-%d %H:%M:%S}"
