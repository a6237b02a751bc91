import asyncio
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from ringback.cli.as_json import print_json
from ringback.cli.deliveries_screen import print_deliveries
from ringback.cli.metrics_call import USUAL, Asked, Words, metrics_client
from ringback.cli.terminal import out

failures = App(name="failures", help_epilogue="")


@failures.default
def _failures(
    *,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=100))] = 20,
    org: Words = "",
    asked: Asked = USUAL,
) -> None:
    """List webhooks whose last attempt failed, and dead letters, newest first.

    Parameters
    ----------
    limit
        How many at most: up to 100.
    org
        Only this organisation (a UUID).
    """
    asyncio.run(_show(limit, org, asked))


async def _show(limit: int, org: str, asked: Asked) -> None:
    async with metrics_client(asked) as client:
        answer = await anext(client.recent_failures(page_size=limit, org_id=org).by_page())
    if asked.json:
        print_json(answer)
        return
    console = out()
    if not answer.failures:
        console.print("No webhook has failed.")
        return
    print_deliveries(console, answer.failures, datetime.now(UTC))
    if answer.next_page_token:
        console.print(f"\nThese are the newest {len(answer.failures)}; there are more.")
