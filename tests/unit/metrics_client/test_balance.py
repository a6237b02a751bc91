"""Calls are shared among the replicas of the metrics service, as its name in DNS lists them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest

from ringback.metrics import MetricsClient, SyncMetricsClient, UnavailableError
from ringback.metrics.channel import target_of
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from tests.support.eventually import eventually
from tests.support.name_server import NameServer, name_server
from tests.unit.metrics_client.scripted_service import ScriptedService, answers, scripted_service

CALLS = 100


class Replicas:
    """Services at one port of several addresses, under the name `metrics.test`."""

    def __init__(self, names: NameServer, stack: AsyncExitStack) -> None:
        self.names = names
        self._stack = stack
        self._running: dict[str, AsyncExitStack] = {}
        self._port = 0

    @property
    def target(self) -> str:
        return f"dns://{self.names.authority}/metrics.test:{self._port}"

    async def start(self, host: str) -> ScriptedService:
        own = await self._stack.enter_async_context(AsyncExitStack())
        served = await own.enter_async_context(scripted_service(address=f"{host}:{self._port}"))
        served.answer = answers(metrics.GetQueueHealthResponse(healthy=True))
        self._port = int(served.address.rpartition(":")[2])
        self._running[host] = own
        self.names.addresses.append(host)
        return served

    async def kill(self, host: str) -> None:
        await self._running.pop(host).aclose()


@pytest.fixture
async def replicas() -> AsyncIterator[Replicas]:
    async with name_server() as names, AsyncExitStack() as stack:
        yield Replicas(names, stack)


async def test_each_replica_gets_its_share(replicas: Replicas) -> None:
    one, other = await replicas.start("127.0.0.1"), await replicas.start("127.0.0.2")

    async with MetricsClient(replicas.target) as client:
        await _reach(client, one, other)
        one.requests.clear()
        other.requests.clear()
        for _ in range(CALLS):
            await client.queue_health()

    assert len(one.requests) == len(other.requests) == CALLS // 2


async def test_each_replica_gets_its_share_of_the_sync_client(replicas: Replicas) -> None:
    one, other = await replicas.start("127.0.0.1"), await replicas.start("127.0.0.2")

    def call_until_both_answered() -> None:
        with SyncMetricsClient(replicas.target) as client:
            while not (one.requests and other.requests):
                client.queue_health()
            for _ in range(CALLS):
                client.queue_health()

    await asyncio.to_thread(call_until_both_answered)

    assert min(len(one.requests), len(other.requests)) >= CALLS // 2


async def test_calls_go_on_with_the_replica_that_is_left(replicas: Replicas) -> None:
    """Also changes that are not repeated: they are sent to the one that lives."""
    one, other = await replicas.start("127.0.0.1"), await replicas.start("127.0.0.2")

    async with MetricsClient(replicas.target) as client:
        await _reach(client, one, other)
        await replicas.kill("127.0.0.1")
        other.requests.clear()
        for _ in range(CALLS):
            await client.queue_health()
        other.answer = lambda _: metrics.GetQueueHealthResponse()
        await client.discard_dead_letter("old", reason="A test.")

    assert len(other.requests) == CALLS + 1


@pytest.mark.slow
async def test_a_replica_at_a_new_address_is_found(replicas: Replicas) -> None:
    """The name is asked again when a connection ends, as one does every half an hour at least."""
    one = await replicas.start("127.0.0.1")

    async with MetricsClient(replicas.target) as client:
        await client.queue_health()
        new = await replicas.start("127.0.0.3")
        replicas.names.addresses.remove("127.0.0.1")
        await replicas.kill("127.0.0.1")
        await eventually(lambda: _is_reached(client, new))

    assert one.requests


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("metrics:50051", "dns:///metrics:50051"),
        (
            "metrics.ringback.svc.cluster.local:50051",
            "dns:///metrics.ringback.svc.cluster.local:50051",
        ),
        ("10.0.0.1:50051", "dns:///10.0.0.1:50051"),
        ("[fd00::1]:50051", "dns:///[fd00::1]:50051"),
        ("dns:///metrics:50051", "dns:///metrics:50051"),
        ("ipv4:10.0.0.1:50051,10.0.0.2:50051", "ipv4:10.0.0.1:50051,10.0.0.2:50051"),
        ("unix:/run/metrics.sock", "unix:/run/metrics.sock"),
    ],
)
def test_an_address_becomes_a_target(address: str, target: str) -> None:
    assert target_of(address) == target


async def _reach(client: MetricsClient, *services: ScriptedService) -> None:
    """Call until the client is connected with each."""
    async with asyncio.timeout(60):
        while not all(service.requests for service in services):
            await client.queue_health()


async def _is_reached(client: MetricsClient, service: ScriptedService) -> bool:
    with suppress(UnavailableError):
        await client.queue_health()
    return bool(service.requests)
