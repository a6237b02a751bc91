from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from chaos.fault_proxy import FaultProxy
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from tests.integration.processor.place import Place, ProcessorProcess
from tests.integration.processor.stage import Stage, opened
from tests.support.loop_thread import LoopThread
from tests.support.session_nodes import SessionNodes

Starter = Callable[..., ProcessorProcess]


@pytest.fixture(scope="session")
def shared_place(
    session_nodes: SessionNodes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A place with one running processor, for tests that leave it unchanged."""
    loop = LoopThread()
    stack = AsyncExitStack()

    async def prepare() -> Place:
        place = Place(*await stack.enter_async_context(session_nodes.place()))
        await place.prepare()
        return place

    place = loop.run(prepare())
    process = ProcessorProcess(place, tmp_path_factory.mktemp("shared") / "processor.log")
    try:
        loop.run(process.ready())
        yield place
    finally:
        process.kill()
        loop.run(stack.aclose())
        loop.close()


@pytest.fixture
async def shared(shared_place: Place) -> AsyncIterator[Stage]:
    """A stage for the session's processor: retries after 200ms,400ms."""
    async with opened(shared_place) as stage:
        yield stage


@pytest.fixture
async def place(amqp_url: str, database_url: str) -> Place:
    """A place for this test alone, in which no processor runs yet."""
    place = Place(amqp_url, database_url)
    await place.prepare()
    return place


@pytest.fixture
async def stage(place: Place) -> AsyncIterator[Stage]:
    async with opened(place) as stage:
        yield stage


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """A function that starts a processor in a place; all are stopped when the test ends."""
    processes: list[ProcessorProcess] = []

    def started(place: Place, **settings: str) -> ProcessorProcess:
        log_path = tmp_path / f"processor-{len(processes)}.log"
        processes.append(ProcessorProcess(place, log_path, **settings))
        return processes[-1]

    yield started
    for process in processes:
        process.kill()


@pytest.fixture
async def way(database: PrivateDatabase) -> AsyncIterator[FaultProxy]:
    """A proxy to the session's database that can be closed."""
    async with FaultProxy(database.port) as proxy:
        yield proxy


@pytest.fixture
async def proxy(broker: PrivateBroker) -> AsyncIterator[FaultProxy]:
    """A proxy to the session's broker that can be cut, and that can delay sent data."""
    async with FaultProxy(broker.ports.amqp) as proxy:
        yield proxy
