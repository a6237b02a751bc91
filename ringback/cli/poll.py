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

_LOOK_EVERY_S = 1.0


async def until_nothing_missing(look: Callable[[], Awaitable[str]], within_s: float) -> int:
    """Check each second; the exit status is 1 if something is missing at the end.

    Each sentence about a missing object is printed once, when it first applies.
    """
    deadline = time.monotonic() + within_s
    told = ""
    while lacking := await look():
        if time.monotonic() >= deadline:
            complain(lacking)
            return EXIT_FAILED
        if lacking != told:
            err().print(f"{lacking} Waiting ...", soft_wrap=True)
            told = lacking
        await asyncio.sleep(_LOOK_EVERY_S)
    return 0
