"""`python -m chaos during`: a load while a command runs, such as a rollout."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated

import uvloop
from cyclopts import App, Parameter

from chaos.check import show, verdict_of
from chaos.load.process import RunningLoad, running_load
from chaos.load.webhook import Mix
from chaos.verdict import Verdict
from ringback.cli.terminal import EXIT_FAILED, BadInputError, CommandError, complain

_POLL_S = 1.0
_UNBROKEN_S = 3.0

during = App(name="during", help_epilogue="")


@during.default
def _during(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    url: str,
    ledger: Path,
    database: Annotated[str | None, Parameter(env_var="RINGBACK_DATABASE_URL")] = None,
    metrics: str | None = None,
    rate: float = 40.0,
    within: float = 120.0,
) -> int:
    """Send webhooks while a command runs, and check that every one was accepted and ended once.

    Give the command after `--`. RINGBACK_VAPI_SECRET is sent as X-Vapi-Secret. The exit status is 0
    if the command succeeded, nothing was refused or unanswered, and nothing is lost or finished
    twice.

    Parameters
    ----------
    command
        What to run, such as `kubectl rollout restart statefulset/gateway`.
    url
        The URL of the gateway, with its path.
    ledger
        The file to write. It must not exist yet.
    database
        The URL of PostgreSQL, where to read how the webhooks ended.
    metrics
        Instead, the metrics API by gRPC: host:port or https://host:port, with RINGBACK_TOKEN.
    rate
        Webhooks a second.
    within
        How many seconds the webhooks may take to end after the load.
    """
    if not command:
        raise BadInputError("Give a command after `--`, which runs while webhooks are sent.")
    if (database is None) == (metrics is None):
        raise BadInputError(
            "Give either --database or --metrics: where to read how the webhooks ended."
        )
    if ledger.exists():
        raise BadInputError(f"The file {ledger} exists already. Choose a new file.")
    load = running_load(url, ledger, Mix(failing_in_ten=0), per_s=rate)
    return uvloop.run(_run(command, load, (database, metrics), within))


async def _run(
    command: tuple[str, ...],
    running: AbstractAsyncContextManager[RunningLoad],
    source: tuple[str | None, str | None],
    within_s: float,
) -> int:
    async with running as load:
        await load.steady()
        try:
            process = await asyncio.create_subprocess_exec(*command)
        except OSError as exc:
            raise CommandError(f"{command[0]} cannot be started: {exc.strerror}.") from exc
        status = await process.wait()
        # What the end of the command broke shows a moment later.
        await asyncio.sleep(_UNBROKEN_S)
        load.require_running()
        await load.stop()
        offers = load.offers()
    deadline = time.monotonic() + within_s
    verdict = await verdict_of(offers, *source)
    while verdict.lost and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)
        verdict = await verdict_of(offers, *source)
    show(verdict, offers, by_database=source[0] is not None)
    if status:
        complain(f"{command[0]} failed with exit status {status}.")
    return EXIT_FAILED if status or not _is_perfect(verdict) else 0


def _is_perfect(verdict: Verdict) -> bool:
    return not (verdict.refused or verdict.unanswered or verdict.lost or verdict.twice)
