"""Polls until nothing is missing, for a limited time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from ringback.cli.terminal import EXIT_FAILED, complain, err

Within = Annotated[float, Parameter(validator=Number(gte=0))]
"""Maximum seconds to wait; with 0 it checks once."""

_INTERVAL_S = 1.0


async def until_nothing_missing(find_missing: Callable[[], Awaitable[str]], within_s: float) -> int:
    """Check each second; the exit status is 1 if something is still missing at the end.

    `find_missing` returns a sentence, or nothing if all is there. A new sentence is printed once.
    """
    deadline = time.monotonic() + within_s
    printed = ""
    while missing := await find_missing():
        if time.monotonic() >= deadline:
            complain(missing)
            return EXIT_FAILED
        if missing != printed:
            err().print(f"{missing} Waiting ...", soft_wrap=True)
            printed = missing
        await asyncio.sleep(_INTERVAL_S)
    return 0
