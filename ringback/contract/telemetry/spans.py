from ringback.contract.telemetry.declared import declared
from ringback.contract.telemetry.span_spec import SpanSpec


class Span:
    """Every kind of span."""


def all_spans() -> tuple[SpanSpec, ...]:
    return tuple(declared(Span, SpanSpec).values())
