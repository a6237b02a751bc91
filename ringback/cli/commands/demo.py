import asyncio
import secrets
import time
from collections.abc import Sequence

import asyncpg
from cyclopts import App
from rich.live import Live

from ringback.cli.client.addresses import Addresses, local_ports
from ringback.cli.client.database import database
from ringback.cli.demo.questions import ask, questions_table
from ringback.cli.demo.steps import (
    DeliverySnapshot,
    DemoStep,
    call_id_of,
    demo_steps,
    read_snapshots,
)
from ringback.cli.demo.view import call_table, deliveries_table, explanations
from ringback.cli.load.load_generator import LoadPlan, SendStats, post_all
from ringback.cli.terminal import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    CommandError,
    out,
    stop_on_interrupt,
)
from ringback.contract.retry_schedule import RetrySchedule
from ringback.runtime.postgres.queries import load
from ringback.runtime.process import event_loop

_NO_QUESTIONS = (
    "The gateway has no endpoint `demo`, so no question was asked. `make run` declares it unless "
    "you declare endpoints."
)
_SEND_RATE_PER_S = 4.0
_POLL_INTERVAL_S = 0.2
_EXTRA_WAIT_S = 30.0

demo = App(name="demo", help_epilogue="")


@demo.default
def _demo() -> int:
    """Send a fictional call and three failing webhooks, and show the state of each.

    The questions of the call are answered by a small backend, and one by the fallback because the
    backend is gone. The events of the call are processed; its report is sent twice and recognised
    as a duplicate; one webhook fails twice and then succeeds; two become dead letters. With the
    default delays of 2, 4 and 8 seconds it takes about 18 seconds. The exit status is 0 if each
    webhook ended as expected.
    """
    return event_loop.run(_play(Addresses.from_env()))


async def _play(addresses: Addresses) -> int:
    run = secrets.token_hex(8)
    steps = demo_steps(addresses.schedule, run=run, now_ms=round(time.time() * 1000))
    port = local_ports().demo.answers
    stats = SendStats()
    console = out()
    with stop_on_interrupt() as stop:
        async with database(addresses.database) as connection:
            answered = await ask(
                addresses.gateway_url, addresses.secret_headers, run=run, port=port
            )
            sending = asyncio.create_task(_send(addresses, steps, stats, stop))
            try:
                seen = await _watch(connection, steps, stats, addresses.schedule, (stop, sending))
            finally:
                sending.cancel()
            if stop.is_set():
                return EXIT_INTERRUPTED
            console.print()
            for part in explanations(steps, stats.job_ids, seen):
                console.print(part)
            console.print(f"`ringback delivery show {stats.job_ids[-1]}` shows the last one.")
            call = await _call(connection, steps, stats.job_ids, seen)
    if call is not None:
        console.print()
        console.print(call_table(call))
    console.print()
    console.print(_NO_QUESTIONS if answered is None else questions_table(answered))
    as_expected = all(one.is_useful for one in answered or ()) and all(
        job_id in seen and seen[job_id].matches(step)
        for step, job_id in zip(steps, stats.job_ids, strict=True)
    )
    return 0 if as_expected and call is not None else EXIT_FAILED


async def _send(
    addresses: Addresses, steps: Sequence[DemoStep], stats: SendStats, stop: asyncio.Event
) -> None:
    """Send one after the other, so that the job ids are in the order of the steps."""
    plan = LoadPlan(
        url=addresses.gateway_url,
        headers=addresses.secret_headers,
        count=len(steps),
        rate_per_s=_SEND_RATE_PER_S,
        concurrency=1,
        timeout_s=10.0,
    )
    await post_all(plan, lambda number: steps[number].body, stats, stop)
    for status, reason in stats.reasons.items():
        raise CommandError(f"The gateway rejected a webhook of the demo: {status} {reason}")
    for words in stats.errors:
        raise CommandError(f"A webhook of the demo could not be sent: {words}.")


async def _watch(
    connection: asyncpg.Connection,
    steps: Sequence[DemoStep],
    stats: SendStats,
    schedule: RetrySchedule,
    until: tuple[asyncio.Event, asyncio.Task[None]],
) -> dict[str, DeliverySnapshot]:
    """Show the states until all have ended, or for the length of the retry schedule."""
    stop, sending = until
    max_wait_s = _EXTRA_WAIT_S + 1.5 * sum(step.delay_ms for step in schedule.steps) / 1000
    deadline = time.monotonic() + max_wait_s
    seen: dict[str, DeliverySnapshot] = {}
    with Live(console=out(), auto_refresh=False) as live:
        while not stop.is_set() and time.monotonic() < deadline:
            seen = await read_snapshots(connection, stats.job_ids, schedule.max_attempts)
            table = deliveries_table(steps, stats.job_ids, seen, schedule)
            live.update(table, refresh=True)
            if sending.done():
                sending.result()
                if len(seen) == len(steps) and all(one.has_ended for one in seen.values()):
                    break
            await asyncio.sleep(_POLL_INTERVAL_S)
    return seen


async def _call(
    connection: asyncpg.Connection,
    steps: list[DemoStep],
    job_ids: Sequence[str],
    seen: dict[str, DeliverySnapshot],
) -> asyncpg.Record | None:
    first = seen.get(job_ids[0])
    if first is None:
        return None
    query = load("ringback.cli.demo", "voice_call.sql")
    return await connection.fetchrow(query, first.org_id, call_id_of(steps))
