"""Looking again and again until nothing is lacking, for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from ringback.cli.terminal import EXIT_FAILED, complain, err

Within = Annotated[float, Parameter(validator=Number(gte=0))]
"""Seconds to wait at most; with 0 it is looked once."""

_LOOK_EVERY_S = 1.0


async def until_nothing_lacks(look: Callable[[], Awaitable[str]], within_s: float) -> int:
    """Look each second; the exit status, 1 when something is lacking at the end.

    Each sentence of what is lacking is told once, when it begins to hold.
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
