"""Spans as OTLP protobuf, encoded directly in the wire format.

The protobuf library takes twice as long per span, the SDK five times as long: they encode the
shared parts of a shape for each span, and every field is a call. Rare or long values still use the
library. A test checks that both encodings agree.
"""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import starmap
from struct import Struct

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

import ringback
from ringback.contract.telemetry.spans import Attribute
from ringback.runtime.tracing.resource import SCOPE
from ringback.runtime.tracing.shape import Shape, Value
from ringback.runtime.tracing.span import Link, RecordedSpan
from ringback.runtime.tracing.well_formed import well_formed

_AT_ONCE = 32

_FIXED = Struct("<2s16s2s8scQcQ2sI").pack
"""trace_id, span_id, start_time_unix_nano, end_time_unix_nano and flags, each after its tag."""

_LONGEST_SHORT = 60
"""Sizes of a text and of an encoded key up to which each enclosing length is one byte."""

_LARGEST_INT = 2**63 - 1

_BYTE, _MORE = 0x80, 0x7F


def request_of(spans: Sequence[RecordedSpan], resource: Mapping[str, Value]) -> bytes:
    """One ExportTraceServiceRequest. Runs in a thread and yields to others now and then."""
    parts = [b"\x0a", _sized(_SCOPE)]
    for place, span in enumerate(spans):
        if place % _AT_ONCE == 0:
            # Otherwise the event loop would wait until the thread is forced to yield, after 5 ms.
            time.sleep(0)
        parts += (b"\x12", _sized(_span(span)))
    of_resource = Resource(attributes=_key_values(resource)).SerializeToString()
    of_resource = b"\x0a" + _sized(of_resource) + b"\x12" + _sized(b"".join(parts))
    return b"\x0a" + _sized(of_resource)


def _span(span: RecordedSpan) -> bytes:
    own = span.attributes
    parts = [
        # OTLP allows a key once; an attribute of the span overrides that of its shape.
        _shared(span.shape) if own.keys().isdisjoint(span.shape.attributes) else _mixed(span),
        _FIXED(
            *(b"\x0a\x10", bytes.fromhex(span.trace_id), b"\x12\x08", bytes.fromhex(span.span_id)),
            *(b"\x39", span.began_ns, b"\x41", span.ended_ns),
            *(b"\x85\x01", span.otlp_flags),
        ),
    ]
    if span.parent_id:
        parts += (b"\x22\x08", bytes.fromhex(span.parent_id))
    parts += list(starmap(_attribute, own.items()))
    if span.error_type or span.links or span.tracestate:
        parts.append(_rare(span))
    return b"".join(parts)


def _attribute(key: str, value: Value) -> bytes:
    if value.__class__ is str:
        text = value.encode(errors="replace")
        size, name = len(text), _key(key)
        if size <= _LONGEST_SHORT and len(name) <= _LONGEST_SHORT:
            return b"\x4a%c%b\x12%c\x0a%c%b" % (len(name) + size + 4, name, size + 2, size, text)
    elif value.__class__ is int and 0 <= value <= _LARGEST_INT:
        name, number = _key(key), _varint(value)
        size = len(number) + 1
        if len(name) <= _LONGEST_SHORT:
            return b"\x4a%c%b\x12%c\x18%b" % (len(name) + size + 2, name, size, number)
    return trace_pb2.Span(attributes=_key_values({key: value})).SerializeToString()


def _rare(span: RecordedSpan) -> bytes:
    rest = trace_pb2.Span(
        trace_state=span.tracestate or "", links=[_link(link) for link in span.links]
    )
    if span.error_type:
        rest.status.code = trace_pb2.Status.STATUS_CODE_ERROR
        rest.status.message = well_formed(span.description)
        rest.attributes.extend(_key_values({Attribute.ERROR_TYPE: span.error_type}))
    return rest.SerializeToString()


def _link(link: Link) -> trace_pb2.Span.Link:
    return trace_pb2.Span.Link(
        trace_id=bytes.fromhex(link.context.trace_id),
        span_id=bytes.fromhex(link.context.span_id),
        trace_state=link.context.tracestate or "",
        flags=link.otlp_flags,
        attributes=_key_values({Attribute.LINK: link.relation}),
    )


@lru_cache(maxsize=256)
def _shared(shape: Shape) -> bytes:
    return _named(shape, shape.attributes)


def _mixed(span: RecordedSpan) -> bytes:
    shared = span.shape.attributes.items()
    return _named(span.shape, {key: value for key, value in shared if key not in span.attributes})


def _named(shape: Shape, attributes: Mapping[str, Value]) -> bytes:
    kind = trace_pb2.Span.SpanKind.Value(f"SPAN_KIND_{shape.kind.name}")
    span = trace_pb2.Span(name=shape.name, kind=kind, attributes=_key_values(attributes))
    return span.SerializeToString()


@lru_cache(maxsize=256)
def _key(key: str) -> bytes:
    return KeyValue(key=key).SerializeToString()


def _key_values(attributes: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in attributes.items()]


def _any(value: Value) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=well_formed(value))
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(double_value=value)


def _sized(encoded: bytes) -> bytes:
    return _varint(len(encoded)) + encoded


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= _BYTE:
        encoded.append(number & _MORE | _BYTE)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_SCOPE = InstrumentationScope(name=SCOPE, version=ringback.__version__).SerializeToString()
