"""Sends webhooks at a fixed rate, however fast the answers are, and records each in the ledger."""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
import orjson

from chaos.load.ledger import LedgerWriter
from chaos.load.webhook import Mix, Webhook, webhook

_ACCEPTED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How to send. `timeout_s` is how long the client waits for one answer."""

    url: str
    headers: Mapping[str, str]
    run: str
    mix: Mix
    per_s: float
    seconds: float
    timeout_s: float = 30.0


@dataclass(slots=True)
class Sending:
    """The progress."""

    sent: int = 0
    accepted: int = 0
    refused: int = 0
    unanswered: int = 0
    open: set[asyncio.Task[None]] = field(default_factory=set)


async def send_all(
    load: Load,
    ledger: LedgerWriter,
    stop: asyncio.Event,
    sending: Sending,
    on_progress: Callable[[], None] = lambda: None,
) -> None:
    """Send until the time is over or `stop` is set, then wait for the missing answers.

    Every request has its own task: those that hang do not delay the next one.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Content-Type": "application/json", **load.headers},
        timeout=aiohttp.ClientTimeout(total=load.timeout_s),
    ) as client:
        began = time.monotonic()
        for number in itertools.count():
            due_s = number / load.per_s
            if due_s > load.seconds or await _is_set(stop, began + due_s):
                break
            request = _send(client, load, ledger, number, sending)
            task = asyncio.create_task(request)
            sending.open.add(task)
            task.add_done_callback(sending.open.discard)
            on_progress()
        if sending.open:
            await asyncio.wait(sending.open)


async def _is_set(stop: asyncio.Event, until: float) -> bool:
    """Wait until a moment of the monotonic clock, or for `stop`; return whether that is set."""
    left_s = until - time.monotonic()
    if left_s > 0:
        try:
            async with asyncio.timeout(left_s):
                await stop.wait()
        except TimeoutError:
            pass
    else:
        # A client that is late must still read the answers.
        await asyncio.sleep(0)
    return stop.is_set()


async def _send(
    client: aiohttp.ClientSession, load: Load, ledger: LedgerWriter, number: int, sending: Sending
) -> None:
    what: Webhook = webhook(load.run, number, load.mix)
    ledger.sent(number, what)
    sending.sent += 1
    try:
        async with client.post(load.url, data=what.body) as answer:
            text = await answer.read()
    except TimeoutError:
        ledger.failed(number, f"no answer in {load.timeout_s:g} s")
        sending.unanswered += 1
    except (aiohttp.ClientError, OSError) as exc:
        ledger.failed(number, type(exc).__name__)
        sending.unanswered += 1
    else:
        job_id = job_id_in(text) if answer.status == _ACCEPTED else None
        ledger.answered(number, answer.status, job_id)
        if job_id is None:
            sending.refused += 1
        else:
            sending.accepted += 1


def job_id_in(text: bytes) -> str | None:
    """Read the job id of an acceptance; None if there is none."""
    try:
        answer = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    job_id = answer.get("jobId") if isinstance(answer, dict) else None
    return job_id if isinstance(job_id, str) else None
