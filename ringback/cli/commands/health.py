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
    figures_table,
    headline,
    one_line,
    processing_line,
    watch_view,
)
from ringback.metrics import MetricsClient, UnavailableError
from ringback.metrics.v1.metrics_service_pb2 import GetQueueHealthResponse

health = App(name="health", help_epilogue="")


@health.default
def _health(*, options: CommonOptions = DEFAULT_OPTIONS) -> int:
    """Hold the queues against the published thresholds, and say which one is broken.

    The exit status is 0 if all hold, else 1.
    """
    return asyncio.run(_show_health(options))


async def _show_health(options: CommonOptions) -> int:
    async with metrics_client(options) as client:
        answer = await client.queue_health()
    if options.json:
        print_json(answer)
    else:
        console = out()
        for part in (headline(answer), checks_table(answer), figures_table(answer)):
            console.print(part)
            console.print()
        console.print(processing_line(answer.processing))
    return 0 if answer.healthy else EXIT_FAILED


_AFTER_OUTAGE_S = 1.0
#: Statistics of such a range cover the last minutes and are cheap.
_RANGE = "15m"

watch = App(name="watch", help_epilogue="")


@watch.default
def _watch(
    *,
    every: Annotated[float, Parameter(validator=Number(gte=1, lte=60))] = 2.0,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> int:
    """Follow the queues and the rates until Ctrl-C. While the service is away it waits for it.

    Where the output is no terminal it is a line each time; with --json a document each time.

    Parameters
    ----------
    every
        Seconds between two looks.
    """
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_follow(every, options))
    return EXIT_INTERRUPTED


async def _follow(every_s: float, options: CommonOptions) -> None:
    async with metrics_client(options) as client:
        if options.json:
            async for health in _looks(client, every_s):
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
        async for health in _looks(client, every_s):
            if health is None:
                gone = Text("The metrics service is away; waiting for it.", "bold yellow")
                live.update(Group(gone, shown), refresh=True)
                continue
            rates.add(await _sample(client))
            shown = Group(watch_view(health, rates))
            live.update(shown, refresh=True)


async def _lines(client: MetricsClient, every_s: float, console: Console) -> None:
    rates = Rates()
    async for health in _looks(client, every_s):
        if health is not None:
            rates.add(await _sample(client))
            console.print(one_line(health, rates), soft_wrap=True)


async def _looks(
    client: MetricsClient, every_s: float
) -> AsyncGenerator[GetQueueHealthResponse | None, None]:
    """The health, repeatedly; None while the service is unavailable, after its first answer."""
    was_there = False
    while True:
        try:
            async for answer in client.watch_queue_health(interval_s=every_s):
                was_there = True
                yield answer.health
        except UnavailableError:
            if not was_there:
                raise
            yield None
        await asyncio.sleep(_AFTER_OUTAGE_S)


async def _sample(client: MetricsClient) -> Sample | None:
    try:
        stats = await client.delivery_stats(_RANGE)
    except UnavailableError:
        return None
    return Sample.of(stats, asyncio.get_running_loop().time())
