"""A metrics service over real gRPC that answers what a test wants, and keeps what it was asked."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.admin_service_pb2_grpc import (
    AdminServiceServicer,
    add_AdminServiceServicer_to_server,
)
from ringback.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)


class RefusedError(Exception):
    """An error with the same details as from the real service."""

    def __init__(
        self, code: grpc.StatusCode, reason: str, message: str, *details: Message, **metadata: str
    ) -> None:
        super().__init__(message)
        info = error_details_pb2.ErrorInfo(reason=reason, domain="ringback", metadata=metadata)
        self.status = status_pb2.Status(
            code=code.value[0], message=message, details=[_packed(info), *map(_packed, details)]
        )


class LastAnswerError(Exception):
    """The stream has ended."""


class ScriptedService(MetricsServiceServicer, AdminServiceServicer):
    """`answer` is asked for each call, with its request; what it raises is what the caller gets."""

    def __init__(self) -> None:
        self.answer: Callable[[Any], Any] = lambda _: None
        self.requests: list[Any] = []
        self.tokens: list[str] = []
        self.address = ""
        self.ended = asyncio.Event()
        """A stream ended, by us or by its caller."""

    async def _unary(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        self.requests.append(request)
        sent = dict(context.invocation_metadata() or ())
        self.tokens.append(str(sent.get("authorization", "")))
        try:
            answer = self.answer(request)
        except RefusedError as no:
            await context.abort_with_status(rpc_status.to_status(no.status))
        if answer is None:
            await asyncio.Event().wait()
        return answer

    async def _stream(
        self, request: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        try:
            while True:
                yield await self._unary(request, context)
        except LastAnswerError:
            return
        finally:
            self.ended.set()

    GetQueueHealth = GetDeliveryStats = ListRecentFailures = ListDeadLetters = _unary
    GetDelivery = ListDeliveries = ListFailureGroups = ListWaiting = _unary
    RetryDelivery = DiscardDeadLetter = RunDuplicate = PauseProcessing = ResumeProcessing = _unary
    ListDestinations = SetDestination = ListChanges = ListEndpoints = _unary
    CreateConsoleCode = CreateRetryRun = GetRetryRun = ListRetryRuns = _unary
    PauseRetryRun = ResumeRetryRun = StopRetryRun = _unary
    ReleaseWaiting = CancelWaiting = _unary
    CreateRetryRun = GetRetryRun = ListRetryRuns = _unary
    PauseRetryRun = ResumeRetryRun = StopRetryRun = _unary
    WatchQueueHealth = RetryDeliveries = _stream


@asynccontextmanager
async def scripted_service(
    credentials: grpc.ServerCredentials | None = None, address: str = "127.0.0.1:0"
) -> AsyncGenerator[ScriptedService, None]:
    """Serve until the context ends, on a free port if the address has none."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    service = ScriptedService()
    add_MetricsServiceServicer_to_server(service, server)
    add_AdminServiceServicer_to_server(service, server)
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    service.address = f"{address.rpartition(':')[0]}:{port}"
    await server.start()
    try:
        yield service
    finally:
        await server.stop(None)


def dead_letter_page(*job_ids: str, then: str = "") -> metrics.ListDeadLettersResponse:
    """A page of dead letters, and the token of the one after it."""
    page = metrics.ListDeadLettersResponse(count=len(job_ids), next_page_token=then)
    for job_id in job_ids:
        page.dead_letters.add(job_id=job_id)
    return page


def answers(*script: Any) -> Callable[[Any], Any]:
    """Give one after the other, then always the last; an error is raised."""
    left, last = iter(script), None

    def answer(_: Any) -> Any:
        nonlocal last
        last = next(left, last)
        if isinstance(last, Exception):
            raise last
        return last

    return answer


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
