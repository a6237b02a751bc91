"""A collector of traces: OTLP over gRPC and over HTTP, on two ports of this machine."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_METHOD = "Export"
_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


@dataclass(slots=True)
class Collector:
    """What arrived. It refuses with `refusal`, and answers nothing until `answers` is set."""

    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    refusal: grpc.StatusCode | None = None
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    http_port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def spans(self) -> list[Span]:
        """In the order of their ends."""
        return [
            span
            for request in self.requests
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    async def export(
        self, request: ExportTraceServiceRequest, context: Any
    ) -> ExportTraceServiceResponse:
        self.asked.set()
        await self.answers.wait()
        if self.refusal is not None:
            await context.abort(self.refusal, "Not now.")
        self.metadata.append(dict(context.invocation_metadata()))
        self.requests.append(request)
        return ExportTraceServiceResponse()

    async def post(self, request: web.Request) -> web.Response:
        """Answer POST /v1/traces."""
        self.asked.set()
        await self.answers.wait()
        self.metadata.append({name.lower(): value for name, value in request.headers.items()})
        self.requests.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )


@asynccontextmanager
async def collecting(collector: Collector, *, port: int = 0) -> AsyncGenerator[Collector, None]:
    """Listen until the context ends; `port` defaults to a free one."""
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        collector.export,
        request_deserializer=ExportTraceServiceRequest.FromString,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler})
    server.add_generic_rpc_handlers((handlers,))
    collector.port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.post)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.http_port = runner.addresses[0][1]
    try:
        yield collector
    finally:
        await runner.cleanup()
        await server.stop(grace=None)


def value_of(span: Span, key: str) -> Any:
    """The value of an attribute; None for one that the span does not have."""
    for attribute in span.attributes:
        if attribute.key == key:
            return getattr(attribute.value, str(attribute.value.WhichOneof("value")))
    return None
