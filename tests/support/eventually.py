"""Wait for what must become true, instead of sleeping for as long as it may take."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

POLL_S = 0.02
PATIENCE_S = 120.0
"""No wait ends earlier: a duration only shows how busy the machine is."""


@overload
async def eventually(check: Callable[[], Awaitable[T | None]], *, deadline_s: float = ...) -> T: ...


@overload
async def eventually(check: Callable[[], T | None], *, deadline_s: float = ...) -> T: ...


async def eventually(check: Callable[[], Any], *, deadline_s: float = 10.0) -> Any:
    """Call `check` until it gives something truthy and return that.

    A check that raises AssertionError is tried again too. When `deadline_s` has passed, and
    `PATIENCE_S` too, its last AssertionError is raised, or one that shows what it gave.
    """
    deadline_s = max(deadline_s, PATIENCE_S)
    deadline = time.monotonic() + deadline_s
    failed: AssertionError | None = None
    while True:
        try:
            got = await _call(check, deadline - time.monotonic())
        except TimeoutError as exc:
            if failed is None:
                raise
            raise failed from exc
        except AssertionError as exc:
            if time.monotonic() > deadline:
                raise
            failed = exc
        else:
            if got:
                return got
            assert time.monotonic() <= deadline, f"still {got!r} after {deadline_s} s"
        await asyncio.sleep(POLL_S)


async def _call(check: Callable[[], Any], within_s: float) -> Any:
    got = check()
    if not inspect.isawaitable(got):
        return got
    async with asyncio.timeout(max(within_s, POLL_S)):
        return await got
