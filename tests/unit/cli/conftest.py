"""A metrics service in a thread, and the settings that lead commands to it."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.loop_thread import LoopThread
from tests.unit.cli.hostile import Printing
from tests.unit.metrics_client.scripted_service import ScriptedService, scripted_service


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture
def service(
    loop_thread: LoopThread, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[ScriptedService]:
    """Commands call this service, with a given token, on a wide terminal."""
    stack = AsyncExitStack()

    async def start() -> tuple[ScriptedService, str]:
        return await stack.enter_async_context(scripted_service())

    served, address = loop_thread.run(start())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RINGBACK_METRICS_URL", address)
    monkeypatch.setenv("RINGBACK_TOKEN", "given")
    monkeypatch.setenv("COLUMNS", "120")
    yield served
    loop_thread.run(stack.aclose())


@pytest.fixture(params=["utf-8", "latin-1", "ascii"])
def printing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Printing:
    monkeypatch.setenv("COLUMNS", "3000")
    return Printing(request.param, monkeypatch)
