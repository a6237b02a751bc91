"""`ringback health` and `watch`: queue health now and live."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ringback.cli.client.metrics import DEFAULT_OPTIONS, CommonOptions, metrics_client, print_json
from ringback.cli.terminal import EXIT_FAILED, EXIT_INTERRUPTED, out
from ringback.cli.views.health_view import (
    Rates,
    Sample,
    checks_table,
    headline,
    numbers_table,
    one_line,
    overdue_line,
    processing_line,
    rates_line,
    watch_view,
)
from ringback.metrics import MetricsClient, UnavailableError
from ringback.metrics.v1.metrics_service_pb2 import GetQueueHealthResponse

health = App(name="health", help_epilogue="")


@health.default
async def _health(*, options: CommonOptions = DEFAULT_OPTIONS) -> int:
    """Check the queues against their thresholds, and show which checks fail.

    While the broker or the database is unavailable, it shows the last numbers. The exit status is 0
    if the queues are healthy, else 1.
    """
    async with metrics_client(options) as client:
        answer = await client.queue_health(allow_stale=True)
    if options.json:
        print_json(answer)
    else:
        console = out()
        numbers = (numbers_table(answer),) if answer.HasField("metrics") else ()
        for part in (headline(answer), checks_table(answer), *numbers):
            console.print(part)
            console.print()
        for line in (rates_line(answer), overdue_line(answer)):
            if line is not None:
                console.print(line)
        if answer.HasField("processing"):
            console.print(processing_line(answer.processing))
    return 0 if answer.healthy else EXIT_FAILED


_RECONNECT_S = 1.0
#: Counts of the last minutes are cheap.
_RANGE = "15m"

watch = App(name="watch", help_epilogue="")


@watch.default
def _watch(
    *,
    every: Annotated[float, Parameter(validator=Number(gte=1, lte=60))] = 2.0,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> int:
    """Show queues and rates until Ctrl-C. It reconnects if the metrics service is unavailable.

    On a terminal the display is updated in place; otherwise each update is a line, and with --json
    a document.

    Parameters
    ----------
    every
        Seconds between two updates.
    """
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_follow(every, options))
    return EXIT_INTERRUPTED


async def _follow(every_s: float, options: CommonOptions) -> None:
    async with metrics_client(options) as client:
        if options.json:
            async for health in _updates(client, every_s):
                if health is not None:
                    print_json(health)
            return
        console = out()
        if console.is_terminal:
            await _live(client, every_s, console)
        else:
            await _lines(client, every_s, console)


async def _live(client: MetricsClient, every_s: float, console: Console) -> None:
    rates = Rates()
    shown = Group()
    with Live(console=console, auto_refresh=False) as live:
        async for health in _updates(client, every_s):
            if health is None:
                gone = Text("The metrics service is unavailable. Reconnecting ...", "bold yellow")
                live.update(Group(gone, shown), refresh=True)
                continue
            rates.add(await _sample(client))
            shown = Group(watch_view(health, rates))
            live.update(shown, refresh=True)


async def _lines(client: MetricsClient, every_s: float, console: Console) -> None:
    rates = Rates()
    async for health in _updates(client, every_s):
        if health is not None:
            rates.add(await _sample(client))
            console.print(one_line(health, rates), soft_wrap=True)


async def _updates(
    client: MetricsClient, every_s: float
) -> AsyncGenerator[GetQueueHealthResponse | None, None]:
    """Yield the health repeatedly; None while the service is unavailable, after a first answer."""
    was_connected = False
    while True:
        try:
            async for answer in client.watch_queue_health(interval_s=every_s):
                was_connected = True
                yield answer.health
        except UnavailableError:
            if not was_connected:
                raise
            yield None
        await asyncio.sleep(_RECONNECT_S)


async def _sample(client: MetricsClient) -> Sample | None:
    try:
        stats = await client.delivery_stats(_RANGE)
    except UnavailableError:
        return None
    return Sample.of(stats, asyncio.get_running_loop().time())
