"""The processor's spans: one for each message in flight, and those within it."""

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import lru_cache
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import structlog
from opentelemetry.trace import Span as OpenSpan

from ringback.contract.envelope import Envelope
from ringback.contract.identity import job_id_of
from ringback.contract.json_text import sanitize_text
from ringback.contract.retry_schedule import attempt_of
from ringback.contract.status import AttemptOutcome
from ringback.contract.telemetry import LogEvent
from ringback.contract.telemetry.spans import Attribute, Span
from ringback.contract.telemetry.spec import SpanSpec
from ringback.contract.trace_context import TraceContext
from ringback.handlers import Event, name_of
from ringback.runtime.observability.tracing import (
    Link,
    Shape,
    Tracer,
    Value,
    add_link,
    fail,
    make_current,
    shape_of,
    trace_context,
)
from ringback.services.processor.attempt.policy import QueueRoute
from ringback.services.processor.attempt.result import Wait
from ringback.services.processor.consume.message import Message, attempt_due
from ringback.services.processor.trace_links import PREVIOUS_ATTEMPT, trace_parentage

log = structlog.get_logger()

_MAX_SHAPES = 256
_SYSTEM = "rabbitmq"


@lru_cache(maxsize=_MAX_SHAPES)
def process_shape(exchange: str, routing_key: str, queue: str) -> Shape:
    return _of_message(Span.PROCESS, "process", "process", (exchange, routing_key, queue))


@lru_cache(maxsize=_MAX_SHAPES)
def settle_shape(operation: str, exchange: str, routing_key: str, queue: str) -> Shape:
    """The shape of an answer: `operation` is `ack` or `reject`."""
    return _of_message(Span.SETTLE, operation, "settle", (exchange, routing_key, queue))


@lru_cache(maxsize=_MAX_SHAPES)
def route_shape(queue: str) -> Shape:
    return shape_of(Span.ROUTE, {Attribute.MESSAGING_SYSTEM: _SYSTEM, Attribute.ROUTED_TO: queue})


@lru_cache(maxsize=_MAX_SHAPES)
def handle_shape(handler: str) -> Shape:
    return shape_of(Span.HANDLE, {Attribute.HANDLER: handler})


@lru_cache(maxsize=_MAX_SHAPES)
def query_shape(name: str) -> Shape:
    return shape_of(Span.QUERY, {Attribute.DB_SYSTEM: "postgresql", Attribute.DB_SUMMARY: name})


def _of_message(spec: SpanSpec, operation: str, kind: str, place: tuple[str, str, str]) -> Shape:
    """Only routing keys of Ringback become a part of the name: others may contain anything."""
    exchange, routing_key, queue = place
    key = routing_key if attempt_of(routing_key) is not None else ""
    attributes: dict[str, Value] = {
        Attribute.MESSAGING_SYSTEM: _SYSTEM,
        Attribute.OPERATION_NAME: operation,
        Attribute.OPERATION_TYPE: kind,
        Attribute.DESTINATION: ":".join(filter(None, (exchange, key, queue))),
    }
    if key:
        attributes[Attribute.ROUTING_KEY] = key
    return shape_of(spec, attributes)


_NOTHING: Mapping[str, Value] = {}


class MessageSpan:
    """From receipt to settlement. Never raises; every span within names its webhook.

    An error raised inside marks it as failed, and so does our own shutdown. Calls after its end
    have no effect. `context` is its trace context, or that of the message if tracing is off.
    """

    __slots__ = (
        "_about",
        "_has_previous",
        "_id",
        "_is_open",
        "_message",
        "_queue",
        "_span",
        "_tracer",
        "context",
    )

    def __init__(self, tracer: Tracer, span: OpenSpan, message: Message, queue: str) -> None:
        self.context: TraceContext = trace_context(span)
        self._tracer = tracer
        self._span = span
        self._message = message
        self._queue = queue
        self._is_open = span.is_recording()
        self._has_previous = False
        self._about: dict[str, Value] = {}
        self._id = sanitize_text(message.message_id or "") if self._is_open else ""
        if self._is_open:
            self._set({Attribute.MESSAGE_ID: self._id, **_attributes_of(message)})
            if job_id_of(message.message_id or "") is not None:
                self.belongs_to(self._id)

    @property
    def wants_previous(self) -> bool:
        """Whether to look up the previous attempt: this span is kept, and has no such link yet."""
        return self._is_open and not self._has_previous

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self.failed(type(error).__qualname__)
        self._is_open = False
        self._span.end()

    def belongs_to(self, job_id: str) -> None:
        self._about[Attribute.JOB_ID] = job_id
        self._set(self._about)

    def opened(self, envelope: Envelope, call_id: str | None) -> None:
        """Set the webhook that the message contains."""
        if not self._is_open:
            return
        attributes: dict[str, Value] = {
            Attribute.ORG_ID: str(envelope.org_id),
            Attribute.ENDPOINT_ID: envelope.endpoint_id,
            Attribute.EVENT_TYPE: envelope.event_type,
        }
        if call_id is not None:
            attributes[Attribute.CALL_ID] = call_id
        if envelope.retry_of is not None:
            attributes[Attribute.RETRY_OF] = str(envelope.retry_of)
        self._set(attributes)

    def identified(self, job_id: UUID, *, org_id: UUID, endpoint_id: str, event_type: str) -> None:
        """Set the webhook that a dead letter is recorded as."""
        if not self._is_open:
            return
        self.belongs_to(str(job_id))
        self._set(
            {
                Attribute.ORG_ID: str(org_id),
                Attribute.ENDPOINT_ID: endpoint_id,
                Attribute.EVENT_TYPE: event_type,
            }
        )

    def recorded(
        self, outcome: AttemptOutcome, *, is_fresh: bool, duplicate_of: UUID | None = None
    ) -> None:
        """Set the recorded outcome."""
        attributes: dict[str, Value] = {Attribute.OUTCOME: outcome.value}
        if not is_fresh:
            attributes[Attribute.IS_REPEATED] = True
        if duplicate_of is not None:
            attributes[Attribute.DUPLICATE_OF] = str(duplicate_of)
        self._set(attributes)

    def waits(self, wait: Wait) -> None:
        """Set that the webhook waits in PostgreSQL."""
        attributes: dict[str, Value] = {Attribute.WAIT_REASON: wait.reason.value}
        if wait.delay_ms is not None:
            attributes[Attribute.RETRY_DELAY_MS] = wait.delay_ms
        self._set(attributes)

    def failed(self, error_type: str) -> None:
        if self._is_open:
            fail(self._span, error_type)

    def link_previous(self, attempt: TraceContext) -> None:
        """Link to the span of the attempt before. Only the first call counts."""
        if self.wants_previous:
            self._has_previous = True
            add_link(self._span, Link(attempt, PREVIOUS_ATTEMPT))

    def child(
        self,
        shape: Shape,
        attributes: Mapping[str, Value] = _NOTHING,
        *,
        start_ns: int | None = None,
    ) -> OpenSpan:
        """A child span. The caller ends it; it may outlive this one."""
        return self._tracer.child(
            self._span, shape, {**self._about, **attributes}, start_ns=start_ns
        )

    def settling(self, operation: str) -> OpenSpan:
        """The answer to the broker: `ack` or `reject`."""
        message = self._message
        shape = settle_shape(operation, message.exchange, message.routing_key, self._queue)
        return self.child(shape, {Attribute.MESSAGE_ID: self._id})

    def routing(self, route: QueueRoute) -> OpenSpan:
        """Start the span of routing the message to another queue, by a copy or by a rejection."""
        attributes: dict[str, Value] = {
            Attribute.MESSAGE_ID: self._id,
            Attribute.ATTEMPT: attempt_due(self._message),
        }
        if route.delay_ms is not None:
            attributes[Attribute.RETRY_DELAY_MS] = route.delay_ms
        return self.child(route_shape(route.queue), attributes)

    def _set(self, attributes: Mapping[str, Value]) -> None:
        if self._is_open:
            self._span.set_attributes(attributes)


def _attributes_of(message: Message) -> dict[str, Value]:
    attributes: dict[str, Value] = {
        Attribute.MESSAGE_BODY_SIZE: len(message.body),
        Attribute.ATTEMPT: attempt_due(message),
    }
    if message.deliveries_before:
        attributes[Attribute.DELIVERIES_BEFORE] = message.deliveries_before
    return attributes


class HandlerSpan:
    """The span of the handler that runs, which is the current one; it watches `run_handlers`.

    At most one is open at a time. The first call that ends it counts, later ones do nothing.
    """

    def __init__(self, message_span: MessageSpan) -> None:
        self._message_span = message_span
        self._open: OpenSpan | None = None

    def begin(self, handler: Callable[..., Any]) -> TraceContext:
        self._open = self._message_span.child(handle_shape(name_of(handler)))
        make_current(self._open)
        return trace_context(self._open)

    def end(self, error_type: str | None = None) -> None:
        """End the span, successfully or with this error."""
        if self._open is None:
            return
        if error_type is not None:
            fail(self._open, error_type)
        self._open.end()
        self._open = None

    def ignores_cancellation(self, event: Event) -> None:
        log.error(
            LogEvent.HANDLER_IGNORES_CANCELLATION, job_id=str(event.job_id), event_type=event.type
        )


@contextmanager
def shared_query(name: str, spans: Iterable[MessageSpan]) -> Generator[None, None, None]:
    """Trace the statement `name`, executed inside, in the spans of these webhooks.

    The spans contain the number of webhooks if it is above 1. An error inside marks them failed.
    """
    start_ns = time.time_ns()
    error_type = ""
    try:
        yield
    except BaseException as exc:
        error_type = type(exc).__qualname__
        raise
    finally:
        sharing = list(spans)
        attributes: dict[str, Value] = (
            {Attribute.DB_BATCH_SIZE: len(sharing)} if len(sharing) > 1 else {}
        )
        ended_ns = time.time_ns()
        for span in sharing:
            query = span.child(query_shape(name), attributes, start_ns=start_ns)
            if error_type:
                fail(query, error_type)
            query.end(ended_ns)


class Spans:
    """Never raises. With the tracer off, the context of the message is passed on."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, message: Message, queue: str, *, is_dead_letter: bool = False) -> MessageSpan:
        """The span of a message from this queue."""
        parentage = trace_parentage(message, is_dead_letter=is_dead_letter)
        span = self._tracer.start(
            process_shape(message.exchange, message.routing_key, queue),
            parent=parentage.parent if self._tracer.is_on else parentage.published,
            links=parentage.links,
        )
        return MessageSpan(self._tracer, span, message, queue)
