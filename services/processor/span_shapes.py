"""The common parts of spans of one kind and one queue: made once, however many messages pass."""

from functools import lru_cache

from ringback.contract.retry_schedule import attempt_of
from ringback.contract.telemetry.spans import Attribute, Span
from ringback.contract.telemetry.spec import SpanSpec
from ringback.runtime.tracing import Shape, Value, shape_of

_MOST = 256
_SYSTEM = "rabbitmq"


@lru_cache(maxsize=_MOST)
def process_shape(exchange: str, routing_key: str, queue: str) -> Shape:
    return _of_message(Span.PROCESS, "process", "process", (exchange, routing_key, queue))


@lru_cache(maxsize=_MOST)
def settle_shape(operation: str, exchange: str, routing_key: str, queue: str) -> Shape:
    """The shape of an answer: `operation` is `ack` or `reject`."""
    return _of_message(Span.SETTLE, operation, "settle", (exchange, routing_key, queue))


@lru_cache(maxsize=_MOST)
def move_shape(queue: str) -> Shape:
    return shape_of(Span.MOVE, {Attribute.MESSAGING_SYSTEM: _SYSTEM, Attribute.ROUTED_TO: queue})


@lru_cache(maxsize=_MOST)
def handle_shape(handler: str) -> Shape:
    return shape_of(Span.HANDLE, {Attribute.HANDLER: handler})


@lru_cache(maxsize=_MOST)
def query_shape(name: str) -> Shape:
    return shape_of(Span.QUERY, {Attribute.DB_SYSTEM: "postgresql", Attribute.DB_SUMMARY: name})


def _of_message(spec: SpanSpec, operation: str, kind: str, place: tuple[str, str, str]) -> Shape:
    """A foreign routing key may contain anything, so it is not part of a name."""
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
