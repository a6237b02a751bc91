import asyncio

from cyclopts import App

from ringback.cli.as_json import print_json
from ringback.cli.health_screen import checks_table, figures_table, headline, processing_line
from ringback.cli.metrics_call import USUAL, Asked, metrics_client
from ringback.cli.terminal import EXIT_FAILED, out

health = App(name="health", help_epilogue="")


@health.default
def _health(*, asked: Asked = USUAL) -> int:
    """Hold the queues against the published thresholds, and say which one is broken.

    The exit status is 0 if all hold, else 1.
    """
    return asyncio.run(_show(asked))


async def _show(asked: Asked) -> int:
    async with metrics_client(asked) as client:
        answer = await client.queue_health()
    if asked.json:
        print_json(answer)
    else:
        console = out()
        for part in (headline(answer), checks_table(answer), figures_table(answer)):
            console.print(part)
            console.print()
        console.print(processing_line(answer.processing))
    return 0 if answer.healthy else EXIT_FAILED
