"""A tracer whose ended spans a test reads."""

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from ringback.runtime.observability.tracing import Tracer


class KeptSpans:
    """`tracer` begins spans; `all` are those that ended and were sampled."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = Tracer(self.provider)

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        """In the order of their ends."""
        return self._exporter.get_finished_spans()


def error_type_of(span: ReadableSpan) -> object:
    """None without an error."""
    return (span.attributes or {}).get("error.type")
