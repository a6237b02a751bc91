"""Clients that hang up while their webhook is stored, and a webhook that kills its processor."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

from chaos import delivery_log, extra_webhooks
from chaos.fault import Fault, Part
from chaos.load.ledger import Offered
from chaos.load.webhook import Kind, special
from chaos.stage import Stage
from ringback.local.ports import LOOPBACK

_HANG_UPS = 300
_AT_ONCE = 50
_MAX_WAIT_S = 0.012
_ENDS_WITHIN_S = 90.0


@asynccontextmanager
async def _hanging_up(stage: Stage) -> AsyncGenerator[None, None]:
    """Requests whose senders hang up at different moments: they get no answer."""
    events = [f"hung-up-{time.time_ns()}-{number}" for number in range(_HANG_UPS)]
    gate = asyncio.Semaphore(_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for number, event in enumerate(events):
            wait_s = _MAX_WAIT_S * number / _HANG_UPS
            group.create_task(_hang_up(stage, event, wait_s, gate))
    try:
        yield
    finally:
        await _check_none_twice(stage, events)


async def _check_none_twice(stage: Stage, events: Sequence[str]) -> None:
    offers = [
        Offered(number=number, event=event, is_written=True, attempts=1, sent_at=0.0)
        for number, event in enumerate(events)
    ]
    async with stage.connection() as connection:
        twice = (await delivery_log.judged(connection, offers)).twice
    if twice:
        stage.complaints.append(f"{len(twice)} webhooks of clients that hung up ended twice.")


async def _hang_up(stage: Stage, event: str, wait_s: float, gate: asyncio.Semaphore) -> None:
    body = special(event, Kind.WRITTEN)
    head = (
        f"POST /api/webhooks/vapi HTTP/1.1\r\nHost: {LOOPBACK}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with gate:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(LOOPBACK, stage.ports.gateway)
            writer.write(head.encode() + body)
            await writer.drain()
            await asyncio.sleep(wait_s)
            # A reset, not an orderly close.
            writer.transport.abort()


@asynccontextmanager
async def _poison(stage: Stage) -> AsyncGenerator[None, None]:
    """One webhook in five kills the process each time, as an interpreter crash would."""
    event = f"poison-{time.time_ns()}"
    bodies = [special(f"{event}-{number}", Kind.WRITTEN) for number in range(5)]
    bodies[2] = special(event, Kind.WRITTEN, killsProcess=True)
    job_ids = await extra_webhooks.send(stage, bodies)
    ends = await extra_webhooks.ended(stage, job_ids, within_s=_ENDS_WITHIN_S)
    for number, job_id in enumerate(job_ids):
        status, error_class = ends.get(job_id, ("no end", ""))
        wanted = ("dead_letter", "process_crash") if number == 2 else ("completed", "")  # ruff: ignore[magic-value-comparison]  # the poison
        if (status, error_class) != wanted:
            stage.complaints.append(
                f"Webhook {number} of the five ended as {status} {error_class}."
            )
    yield


FAULTS = (
    Fault(
        name="clients-hang-up",
        sentence="300 clients disconnect at different moments of their request.",
        part=Part.CLIENTS,
        strike=_hanging_up,
        hold_s=2,
    ),
    Fault(
        name="poison",
        sentence="One webhook among four good ones kills the processor each time it is tried.",
        part=Part.PROCESSOR,
        strike=_poison,
        is_mixed=False,
    ),
)
