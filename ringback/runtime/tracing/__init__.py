"""Our own spans: cheap to begin, encoded in a thread, exported by OTLP or to a file."""

from ringback.runtime.tracing.lifetime import tracing
from ringback.runtime.tracing.shape import Shape, Value, shape_of
from ringback.runtime.tracing.span import Link, OpenSpan, untraced
from ringback.runtime.tracing.tracer import Tracer

__all__ = ["Link", "OpenSpan", "Shape", "Tracer", "Value", "shape_of", "tracing", "untraced"]
