"""The gateway's spans: one for each request, and one for each publish within it."""

from functools import lru_cache

from aiohttp import hdrs, web
from opentelemetry.trace import Span as OpenSpan

from ringback.contract import topology
from ringback.contract.json_text import sanitize_text
from ringback.contract.retry_schedule import BULK_KEY, FIRST_ATTEMPT, routing_key
from ringback.contract.telemetry.spans import Attribute, Span
from ringback.contract.trace_context import TraceContext, trace_context_of
from ringback.runtime.observability.tracing import Shape, Tracer, Value, fail, shape_of
from ringback.services.gateway.endpoints.endpoint import PATH, Endpoint, match_route
from ringback.services.gateway.endpoints.table import EndpointTable
from ringback.services.gateway.http.rejection import Rejection
from ringback.services.gateway.storage.result import PublishOutcome, StoreResult
from ringback.services.gateway.webhook import AcceptedWebhook


def _publish_shape(key: str) -> Shape:
    return shape_of(
        Span.PUBLISH,
        {
            Attribute.MESSAGING_SYSTEM: "rabbitmq",
            Attribute.OPERATION_NAME: "publish",
            Attribute.OPERATION_TYPE: "send",
            Attribute.DESTINATION: f"{topology.WEBHOOKS}:{key}",
            Attribute.ROUTING_KEY: key,
        },
    )


_PUBLISH = _publish_shape(routing_key(FIRST_ATTEMPT))
_PUBLISH_BULK = _publish_shape(BULK_KEY)
_TRACEPARENT, _TRACESTATE = "traceparent", "tracestate"
_METHODS = hdrs.METH_ALL
_OTHER_METHOD = "_OTHER"
_FIRST_SERVER_ERROR = 500
_MAX_TEXT_LENGTH = 200
_BREAKER_OPEN = "breaker_open"


class Spans:
    """Never raises. Attributes that all requests to one endpoint share are built once."""

    def __init__(self, tracer: Tracer, table: EndpointTable) -> None:
        self._tracer = tracer
        self._table = table
        self._routes = table.routes
        self._shapes: dict[str, Shape] = {}
        """Those of `_routes`, once they are needed."""

    def receive(self, request: web.BaseRequest) -> OpenSpan:
        """Start the span of a request; it continues the sender's trace, if there is one."""
        headers = request.headers
        parent = _trace_in(request) if _TRACEPARENT in headers else None
        path = match_route(request, self._table.routes)
        is_webhook = path is not None and request.method == hdrs.METH_POST
        shape = (
            self._shape_of(path)
            if path is not None and is_webhook
            else _shape_without_endpoint(
                request.method if request.method in _METHODS else _OTHER_METHOD,
                "" if path is None else _route(path),
            )
        )
        span = self._tracer.start(shape, parent=parent)
        if span.is_recording():
            span.set_attributes(_attributes_of(request, is_webhook=is_webhook))
        return span

    def _shape_of(self, path: str) -> Shape:
        if self._routes is not self._table.routes:
            self._routes = self._table.routes
            self._shapes = {}
        shape = self._shapes.get(path)
        if shape is None:
            shape = self._shapes[path] = _shape_for_endpoint(path, self._routes[path])
        return shape

    def publish(self, receiving: OpenSpan, *, is_bulk: bool = False) -> OpenSpan:
        """Start the span whose context is sent with the message."""
        return self._tracer.child(receiving, _PUBLISH_BULK if is_bulk else _PUBLISH)

    @staticmethod
    def published(publish: OpenSpan, result: StoreResult) -> None:
        if publish.is_recording():
            job_id = str(result.webhook.envelope.job_id)
            publish.set_attributes(
                {
                    Attribute.MESSAGE_ID: job_id,
                    Attribute.JOB_ID: job_id,
                    Attribute.MESSAGE_BODY_SIZE: len(result.webhook.body),
                }
            )
            if result.published is not PublishOutcome.CONFIRMED:
                fail(publish, result.published or _BREAKER_OPEN)

    @staticmethod
    def rejected(receiving: OpenSpan, rejection: Rejection) -> None:
        if receiving.is_recording():
            status = rejection.status.value
            receiving.set_attributes(
                {Attribute.HTTP_STATUS: status, Attribute.REJECTION: rejection.reason}
            )
            if status >= _FIRST_SERVER_ERROR:
                fail(receiving, rejection.reason)

    @staticmethod
    def asked(receiving: OpenSpan, webhook: AcceptedWebhook) -> None:
        if receiving.is_recording():
            receiving.set_attributes(_webhook_attributes(webhook))

    @staticmethod
    def answered(receiving: OpenSpan, status: int) -> None:
        receiving.set_attribute(Attribute.HTTP_STATUS, status)

    @staticmethod
    def accepted(receiving: OpenSpan, result: StoreResult) -> None:
        if receiving.is_recording() and result.tier is not None:
            attributes = _webhook_attributes(result.webhook)
            attributes[Attribute.HTTP_STATUS] = 200
            attributes[Attribute.STORAGE_TIER] = result.tier.value
            receiving.set_attributes(attributes)


def _webhook_attributes(webhook: AcceptedWebhook) -> dict[str, Value]:
    attributes: dict[str, Value] = {
        Attribute.HTTP_BODY_SIZE: len(webhook.body),
        Attribute.JOB_ID: str(webhook.envelope.job_id),
        Attribute.EVENT_TYPE: webhook.envelope.event_type,
    }
    if webhook.call_id is not None:
        attributes[Attribute.CALL_ID] = webhook.call_id
    return attributes


def _attributes_of(request: web.BaseRequest, *, is_webhook: bool) -> dict[str, Value]:
    """What the shape does not contain. The path of a webhook is that of its endpoint."""
    agent = request.headers.get(hdrs.USER_AGENT)
    attributes: dict[str, Value] = {Attribute.USER_AGENT: _short(agent)} if agent else {}
    if not is_webhook:
        attributes[Attribute.URL_PATH] = _short(request.path)
    if request.method not in _METHODS:
        attributes[Attribute.HTTP_METHOD_SENT] = _short(request.method)
    return attributes


def _shape_for_endpoint(path: str, endpoint: Endpoint) -> Shape:
    return shape_of(
        Span.RECEIVE,
        {
            Attribute.HTTP_METHOD: hdrs.METH_POST,
            Attribute.HTTP_ROUTE: _route(path),
            Attribute.URL_SCHEME: "http",
            Attribute.URL_PATH: path,
            Attribute.ENDPOINT_ID: endpoint.id,
            Attribute.ORG_ID: str(endpoint.org_id),
        },
    )


@lru_cache(maxsize=3 * (len(_METHODS) + 1))
def _shape_without_endpoint(method: str, route: str) -> Shape:
    """Build the shape for a request with another method than POST, or to an unknown path."""
    shared: dict[str, Value] = {Attribute.HTTP_METHOD: method, Attribute.URL_SCHEME: "http"}
    return shape_of(Span.RECEIVE, {**shared, Attribute.HTTP_ROUTE: route} if route else shared)


def _route(path: str) -> str:
    return path if path == PATH else f"{PATH}/{{endpoint_id}}"


def _short(text: str) -> str:
    return sanitize_text(text[:_MAX_TEXT_LENGTH])


def _trace_in(request: web.BaseRequest) -> TraceContext | None:
    """The sender's trace; None if there is none, or if it is invalid."""
    parents = request.headers.getall(_TRACEPARENT)
    # The standard joins several tracestate headers into one list, and allows one traceparent.
    states = request.headers.getall(_TRACESTATE, [])
    state = ",".join(states) if states else None
    # A header may contain any byte; `trace_context_of` rejects what is not text.
    return trace_context_of(parents[0], state) if len(parents) == 1 else None
