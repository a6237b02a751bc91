import asyncio
from typing import Annotated

from cyclopts import App, Parameter

from ringback.cli.as_json import print_json
from ringback.cli.metrics_call import USUAL, Asked, Words, metrics_client
from ringback.cli.stats_screen import summary_table, types_table
from ringback.cli.terminal import out

_EXAMPLES = """Examples:

    ringback stats
    ringback stats --range 7d
    ringback stats --range 15m --json
"""

stats = App(name="stats", help_epilogue=_EXAMPLES)


@stats.default
def _stats(
    *,
    time_range: Annotated[str, Parameter(name="--range")] = "24h",
    org: Words = "",
    asked: Asked = USUAL,
) -> None:
    """Count what became of the webhooks of the last hours or days, by event type.

    Parameters
    ----------
    time_range
        How far back: from 15m to 30d, in minutes (m), hours (h) or days (d).
    org
        Only this organisation (a UUID).
    """
    asyncio.run(_show(time_range, org, asked))


async def _show(time_range: str, org: str, asked: Asked) -> None:
    async with metrics_client(asked) as client:
        answer = await client.delivery_stats(time_range, org_id=org)
    if asked.json:
        print_json(answer)
        return
    console = out()
    console.print(summary_table(answer))
    if answer.by_event_type:
        console.print()
        console.print(types_table(answer))
