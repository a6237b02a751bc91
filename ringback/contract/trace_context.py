"""W3C trace context, as far as Ringback must understand it (w3.org/TR/trace-context)."""

import re
from dataclasses import dataclass
from random import Random

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}"
)
#: Printable ASCII: other characters are not allowed, and the broker could not store them in a
#: header.
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")
_IDS = Random()  # ruff: ignore[suspicious-non-cryptographic-random-usage]  # seeded by the kernel, and no secret


@dataclass(frozen=True, slots=True)
class TraceContext:
    traceparent: str
    tracestate: str | None = None

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        return self.traceparent[36:52]

    @property
    def flags(self) -> int:
        return int(self.traceparent[53:55], 16)

    @property
    def is_sampled(self) -> bool:
        """Whether the creator recorded it. Other flags may be set too."""
        return bool(self.flags & 1)


def trace_context_of(traceparent: str | None, tracestate: str | None) -> TraceContext | None:
    """The context that a caller sent; None if it sent none or an invalid one."""
    if traceparent is None or not _TRACEPARENT.fullmatch(traceparent):
        return None
    kept = _TRACESTATE.fullmatch(tracestate or "")
    return TraceContext(traceparent=traceparent, tracestate=kept and kept[0])


def new_trace_context() -> TraceContext:
    """A context for a webhook without one, so that its log lines share one trace id."""
    # Ids must be unlikely to collide, not hard to guess; asking the kernel costs ten times as much.
    trace_id, span_id = _IDS.getrandbits(128) or 1, _IDS.getrandbits(64) or 1
    return TraceContext(traceparent=f"00-{trace_id:032x}-{span_id:016x}-01")
