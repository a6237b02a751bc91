"""The server span of each call, for gRPC and REST."""

from collections.abc import Mapping
from functools import lru_cache

import grpc
from aiohttp import hdrs, web
from opentelemetry.trace import Span as OpenSpan

from ringback.contract.telemetry.spans import Attribute, Span
from ringback.contract.trace_context import TraceContext, trace_context_of
from ringback.runtime.observability.tracing import Shape, Tracer, Value, fail, shape_of
from ringback.services.metrics.auth.principal import Principal
from ringback.services.metrics.transport.errors import ApiError
from ringback.services.metrics.transport.methods import Method

_OTHER_METHOD = "_OTHER"
_MAX_PATH = 200
_SERVER_ERROR_CODES = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Status codes that mark a server span as an error, by OpenTelemetry."""


class CallSpans:
    """Starts the span of a call. If the caller sent a trace context, the span continues it."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def by_grpc(self, method: Method, metadata: Mapping[str, str]) -> OpenSpan:
        return self._tracer.start(_shape_of_grpc(_rpc_method(method)), parent=_trace_in(metadata))

    def by_rest(
        self, request: web.BaseRequest, template: str | None, method: Method | None
    ) -> OpenSpan:
        """`template` is the path with its variables; None when no route has this path."""
        verb = request.method if request.method in hdrs.METH_ALL else _OTHER_METHOD
        shape = _shape_of_rest(verb, template, method and _rpc_method(method))
        span = self._tracer.start(shape, parent=_trace_in(request.headers))
        span.set_attribute(Attribute.URL_PATH, request.rel_url.raw_path[:_MAX_PATH])
        return span


def record_result(
    span: OpenSpan, code: grpc.StatusCode, error: ApiError | None, principal: Principal | None
) -> None:
    """Record how a call of the contract ended, and who made it."""
    if not span.is_recording():
        return
    attributes: dict[str, Value] = {Attribute.RPC_STATUS: code.name}
    if principal and principal.org_id:
        attributes[Attribute.ORG_ID] = str(principal.org_id)
    if error:
        attributes[Attribute.REJECTION] = error.reason
    span.set_attributes(attributes)
    if code in _SERVER_ERROR_CODES:
        fail(span, code.name, error.message if error else "")


def record_status(span: OpenSpan, status: int, error: ApiError | None) -> None:
    """Record the HTTP status, also for a request that matches no method."""
    if span.is_recording():
        span.set_attributes({Attribute.HTTP_STATUS: status})
        if error:
            span.set_attributes({Attribute.REJECTION: error.reason})


def _rpc_method(method: Method) -> str:
    return method.grpc_path.removeprefix("/")


@lru_cache(maxsize=256)
def _shape_of_grpc(rpc_method: str) -> Shape:
    return shape_of(Span.CALL, {Attribute.RPC_SYSTEM: "grpc", Attribute.RPC_METHOD: rpc_method})


@lru_cache(maxsize=1024)
def _shape_of_rest(verb: str, template: str | None, rpc_method: str | None) -> Shape:
    attributes: dict[str, Value] = {Attribute.HTTP_METHOD: verb, Attribute.URL_SCHEME: "http"}
    if template is not None:
        attributes[Attribute.HTTP_ROUTE] = template
    if rpc_method is not None:
        attributes[Attribute.RPC_METHOD] = rpc_method
    return shape_of(Span.RECEIVE, attributes)


def _trace_in(headers: Mapping[str, str]) -> TraceContext | None:
    return trace_context_of(headers.get("traceparent"), headers.get("tracestate"))
