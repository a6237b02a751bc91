"""The readings of the poller end together."""

import asyncio
from typing import Any

import pytest

from services.metrics.polling.poller import Poller


class Source:
    """Every reading waits, but the count of dead letters fails with a bug."""

    async def read(self, _: float) -> None:
        await asyncio.Event().wait()

    state = stats = read

    async def unresolved_dead_letters(self, _: float) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError


async def test_the_error_of_one_reading_ends_the_others() -> None:
    """A reading that continued would use the pool after it is closed."""
    source: Any = Source()
    unused: Any = None
    before = asyncio.all_tasks()

    with pytest.raises(ZeroDivisionError):
        await Poller(source, source, unused, unused).run(interval_s=1)

    assert asyncio.all_tasks() == before
