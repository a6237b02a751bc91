"""Which traces are kept, by the samplers and the names of the OpenTelemetry SDK."""

from collections.abc import Callable, Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    Decision,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

_DEFAULT = "parentbased_always_on"


class LinkedSampler(Sampler):
    """Keeps a new trace if it links to a kept one, so that no retry is missing.

    Everything else is decided by `others`, which also decides alone for a span with a parent.
    """

    def __init__(self, others: Sampler) -> None:
        self._others = others

    def should_sample(  # ruff: ignore[too-many-positional-arguments]  # as the SDK has it
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        is_root = not get_current_span(parent_context).get_span_context().is_valid
        if is_root and any(link.context.trace_flags.sampled for link in links or ()):
            return SamplingResult(Decision.RECORD_AND_SAMPLE)
        return self._others.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        return f"LinkedSampler{{{self._others.get_description()}}}"


def sampler_of(environ: Mapping[str, str]) -> Sampler:
    """Create the sampler that OTEL_TRACES_SAMPLER and its _ARG ask for.

    A sampler that respects the parent's decision also respects the decision of links.
    """
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or _DEFAULT
    sampler = _SAMPLERS[name](environ)
    return LinkedSampler(sampler) if name.startswith("parentbased_") else sampler


def _ratio(environ: Mapping[str, str]) -> float:
    return float(environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1")


_SAMPLERS: dict[str, Callable[[Mapping[str, str]], Sampler]] = {
    "always_on": lambda _: ALWAYS_ON,
    "always_off": lambda _: ALWAYS_OFF,
    "traceidratio": lambda environ: TraceIdRatioBased(_ratio(environ)),
    "parentbased_always_on": lambda _: DEFAULT_ON,
    "parentbased_always_off": lambda _: DEFAULT_OFF,
    "parentbased_traceidratio": lambda environ: ParentBasedTraceIdRatio(_ratio(environ)),
}
