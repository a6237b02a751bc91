"""The gRPC server in front of methods that a test defines."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

from ringback.contract.identity import new_job_id
from ringback.local.ports import free_ports
from ringback.metrics.v1.admin_service_pb2_grpc import AdminServiceStub
from ringback.metrics.v1.delivery_pb2 import Delivery
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    GetDeliveryResponse,
    GetQueueHealthRequest,
    ListDeliveriesRequest,
    WatchQueueHealthRequest,
    WatchQueueHealthResponse,
)
from ringback.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from ringback.runtime.observability.tracing import NO_TRACES
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.metrics.transport.call import Call, Transport
from ringback.services.metrics.transport.errors import Violation, invalid
from ringback.services.metrics.transport.grpc_server import grpc_server
from ringback.services.metrics.transport.methods import SERVICES
from ringback.services.metrics.transport.spans import CallSpans
from tests.support.eventually import eventually
from tests.support.tokens import bearer
from tests.unit.metrics.transport.scripted_api import METHODS, ScriptedApi

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
LARGEST_EVENT = "x" * 8 * 1024 * 1024
JOB = str(new_job_id())
GOOD = (("authorization", bearer()),)

SPANS = CallSpans(NO_TRACES)


class Served:
    """The server and a channel to it."""

    def __init__(self, api: ScriptedApi, address: str, channel: grpc.aio.Channel) -> None:
        self.api = api
        self.address = address
        self.channel = channel
        self.reads: Any = MetricsServiceStub(channel)
        self.changes: Any = AdminServiceStub(channel)


async def yes() -> bool:
    await asyncio.sleep(0)
    return True


def server(
    api: ScriptedApi, port: int, hosts: str = "127.0.0.1"
) -> AbstractAsyncContextManager[None]:
    return grpc_server(hosts, port, api.dispatcher, spans=SPANS, is_ready=yes, drain_timeout_s=60)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    api = ScriptedApi()
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    options = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]
    async with server(api, port), grpc.aio.insecure_channel(address, options=options) as channel:
        yield Served(api, address, channel)


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The details beside the status, by kind."""
    status = rpc_status.from_call(error)
    assert status is not None
    found = {}
    for packed in status.details:
        kind = packed.type_url.rpartition(".")[2]
        found[kind] = getattr(error_details_pb2, kind)()
        assert packed.Unpack(found[kind])
    return found


@pytest.mark.parametrize("hosts", ["*", "::", "127.0.0.1,::1"])
async def test_it_is_reached_by_both_families(hosts: str) -> None:
    """At the port that the setting names."""
    (port,) = free_ports(1)
    async with server(ScriptedApi(), port, hosts):
        for address in (f"127.0.0.1:{port}", f"[::1]:{port}"):
            async with grpc.aio.insecure_channel(address) as channel:
                await channel.channel_ready()


async def test_a_port_in_use_is_reported_and_not_shared(served: Served) -> None:
    """The sentence names the setting."""
    with pytest.raises(CannotStartError, match="RINGBACK_METRICS_GRPC_PORT"):
        async with server(ScriptedApi(), int(served.address.partition(":")[2])):
            pass


async def test_a_call_with_two_tokens_is_rejected(served: Served) -> None:
    """Even if both are valid."""
    request = GetQueueHealthRequest()

    error = await failure(served.reads.GetQueueHealth(request, metadata=(*GOOD, *GOOD)))

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    info = details(error)["ErrorInfo"]
    assert (info.reason, info.domain) == ("UNAUTHENTICATED", "ringback")


async def test_bytes_that_are_not_a_request_are_rejected(served: Served) -> None:
    """As the caller's mistake, not as ours."""
    call: Any = served.channel.unary_unary(METHODS["GetDelivery"].grpc_path)

    error = await failure(call(b"\xff\xff", metadata=GOOD))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "The request is not a GetDeliveryRequest."


async def test_the_caller_s_deadline_is_the_call_s(served: Served) -> None:
    """The method knows how long the caller waits."""
    loop = asyncio.get_running_loop()

    await served.reads.GetQueueHealth(GetQueueHealthRequest(), metadata=GOOD, timeout=50)

    _, _, call = served.api.calls[0]
    # The library rounds the rest up to its own clock's tick.
    assert 0 < call.deadline - loop.time() < 50.1


async def test_a_caller_that_disconnects_ends_its_stream(served: Served) -> None:
    """Immediately, and the generator of the answers is closed."""
    closed = asyncio.Event()

    async def watch(_request: Message, _call: Call) -> AsyncGenerator[Message, None]:
        try:
            yield WatchQueueHealthResponse()
            await asyncio.Event().wait()
        finally:
            closed.set()

    served.api.on("WatchQueueHealth", watch)
    stream = served.reads.WatchQueueHealth(WatchQueueHealthRequest(), metadata=GOOD)

    await anext(aiter(stream))
    stream.cancel()

    await asyncio.wait_for(closed.wait(), 60)
    await eventually(
        lambda: served.api.counted("WatchQueueHealth", "CANCELLED", Transport.GRPC) == 1
    )


async def test_the_largest_event_fits(served: Served) -> None:
    """An answer may contain any event that the gateway accepted."""

    async def large(_request: Message, _call: Call) -> Message:
        await asyncio.sleep(0)
        return GetDeliveryResponse(delivery=Delivery(event_data=LARGEST_EVENT))

    served.api.on("GetDelivery", large)

    answer = await served.reads.GetDelivery(GetDeliveryRequest(job_id=JOB), metadata=GOOD)

    assert len(answer.delivery.event_data) == len(LARGEST_EVENT)


async def test_a_request_of_megabytes_is_rejected(served: Served) -> None:
    """No request needs to be that large."""
    request = ListDeliveriesRequest(event_type="x" * 1024 * 1024)

    error = await failure(served.reads.ListDeliveries(request, metadata=GOOD))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_long_token_and_a_long_error_arrive(served: Served) -> None:
    """Both travel in headers, which have limits; a stream may break off with an error."""
    metadata = (("authorization", bearer(groups="x" * 5000)),)

    async def break_off(_request: Message, _call: Call) -> AsyncGenerator[Message, None]:
        await asyncio.sleep(0)
        yield WatchQueueHealthResponse()
        raise invalid(*(Violation(f"f{number}", "\N{SNOWMAN}" * 3000) for number in range(100)))

    served.api.on("WatchQueueHealth", break_off)
    stream = aiter(served.reads.WatchQueueHealth(WatchQueueHealthRequest(), metadata=metadata))

    assert await anext(stream) == WatchQueueHealthResponse()
    error = await failure(anext(stream))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details(error)["ErrorInfo"].reason == "INVALID_REQUEST"
    assert details(error)["BadRequest"].field_violations[0].field == "f0"


async def test_health_covers_the_server_and_each_service(served: Served) -> None:
    """Without a token: the operator of the process asks, not a caller."""
    stub = health_pb2_grpc.HealthStub(served.channel)

    async def all_serving() -> bool:
        names = ("", *(service.full_name for service in SERVICES))
        checks = [stub.Check(health_pb2.HealthCheckRequest(service=name)) for name in names]
        return {answer.status for answer in [await one for one in checks]} == {SERVING}

    assert await eventually(all_serving)


async def test_streams_end_in_order_when_it_stops() -> None:
    """One that watches `stopping` ends without an error; health is NOT_SERVING meanwhile."""
    api = ScriptedApi()
    may_end = asyncio.Event()

    async def watch(_request: Message, call: Call) -> AsyncGenerator[Message, None]:
        yield WatchQueueHealthResponse()
        await call.stopping.wait()
        await may_end.wait()
        yield WatchQueueHealthResponse()

    api.on("WatchQueueHealth", watch)
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    running = AsyncExitStack()
    await running.enter_async_context(server(api, port))
    async with grpc.aio.insecure_channel(address) as channel:
        healths = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        await until(healths, SERVING)
        reads: Any = MetricsServiceStub(channel)
        stream = aiter(reads.WatchQueueHealth(WatchQueueHealthRequest(), metadata=GOOD))
        await anext(stream)

        api.stopping.set()
        stopping = asyncio.create_task(running.aclose())
        await until(healths, NOT_SERVING)
        healths.cancel()
        may_end.set()
        rest = [answer async for answer in stream]
        await stopping

    assert len(rest) == 1
    assert api.counted("WatchQueueHealth", "OK", Transport.GRPC) == 1


async def until(healths: Any, status: int) -> None:
    """Read a watch of the health service until it reports this status."""
    async with asyncio.timeout(60):
        while (await healths.read()).status != status:
            pass


async def test_reflection_describes_every_method(served: Served) -> None:
    """A client that was built without the contract, such as grpcurl, finds what to send."""

    def read_all() -> dict[str, str]:
        with grpc.insecure_channel(served.address) as channel:
            database: Any = ProtoReflectionDescriptorDatabase(channel)
            pool = DescriptorPool(database)
            services = [name for name in database.get_services() if name.startswith("ringback.")]
            methods = [one for name in services for one in pool.FindServiceByName(name).methods]
            return {method.name: method.input_type.name for method in methods}

    found = await asyncio.to_thread(read_all)

    assert found == {name: one.request_class.DESCRIPTOR.name for name, one in METHODS.items()}
