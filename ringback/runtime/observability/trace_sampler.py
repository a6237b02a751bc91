"""Samples spans: keeps all traces at a low rate, and a consistent share of them at a high one."""

import math
import re
import time
from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

_RANDOM_BITS = 56
_NEVER = 1 << _RANDOM_BITS
_PRECISION = -(1 << 40)
"""A threshold has 16 significant bits, so that it is short in a tracestate."""

_SHARE = 0.9
"""The part of the limit that a threshold aims for. The rest absorbs uneven arrivals."""

_LINKED_TO_KEPT = 10
_CUT_LASTS_S = 1.0
_THRESHOLD = re.compile(r"(?:^|;)th:([0-9a-f]{1,14})(?=;|$)")
_RANDOMNESS = re.compile(r"(?:^|;)rv:([0-9a-f]{14})(?=;|$)")
_OURS = "ot"
_MAX_FOREIGN = 31
_DROPPED = SamplingResult(Decision.DROP)


class CappedSampler(Sampler):
    """Keeps up to `per_second` new traces a second, and as many that begin with links.

    Traces that begin with links are retries, dead letters and retries by people, so failures stay
    visible at any load. A span follows its local parent, or a remote parent that was not kept. A
    remote parent that was kept counts as a new trace, because a backlog or an untrusted sender may
    send thousands a second. A trace that links to a kept one is kept, up to ten times the limit.

    The trace id decides, as OpenTelemetry's `th` describes it, so replicas with the same share keep
    the same traces. The tracestate contains the share, unless the token bucket dropped a trace
    within the last second.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._new = _Budget(per_second, clock)
        self._linked = _Budget(per_second, clock)
        self._linked_to_kept = _TokenBucket(_LINKED_TO_KEPT * per_second, clock)

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
        del name, kind, trace_state
        parent = get_current_span(parent_context).get_span_context()
        state = parent.trace_state
        if parent.is_valid and not (parent.is_remote and parent.trace_flags.sampled):
            return _kept(attributes, state) if parent.trace_flags.sampled else _dropped(state)
        randomness = _randomness(trace_id, state)
        if links and not parent.is_valid:
            is_kept = (
                self._is_linked_to_kept(links) or self._linked.threshold(randomness) is not None
            )
            return _kept(attributes, state) if is_kept else _dropped(state)
        known = _threshold_in(state) if parent.is_valid else 0
        threshold = self._new.threshold(randomness, known or 0)
        if threshold is None:
            return _dropped(_with_threshold(state, None))
        if known is None and not threshold:
            return _kept(attributes, state)
        is_share_known = known is not None and not self._new.was_cut_lately
        return _kept(attributes, _with_threshold(state, threshold if is_share_known else None))

    def _is_linked_to_kept(self, links: Sequence[Link]) -> bool:
        is_linked = any(link.context.trace_flags.sampled for link in links)
        return is_linked and self._linked_to_kept.take()

    def get_description(self) -> str:
        return f"CappedSampler{{{self._per_second:g}/s}}"


class _TokenBucket:
    """Gives at most `per_second` tokens a second, and saves up those of one second."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._capacity = max(1.0, per_second) if per_second else 0.0
        self._tokens = self._capacity
        self._clock = clock
        self._at = clock()

    def take(self) -> bool:
        now = self._clock()
        added = max(0.0, now - self._at) * self._per_second
        self._tokens = min(self._capacity, self._tokens + added)
        self._at = max(now, self._at)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class _Budget:
    """Adapts a threshold to the rate of arrivals, estimated by a decaying count."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._bucket = _TokenBucket(per_second, clock)
        self._at = clock()
        self._rate = 0.0
        self._cut_at = -math.inf

    @property
    def was_cut_lately(self) -> bool:
        return self._at - self._cut_at < _CUT_LASTS_S

    def threshold(self, randomness: int, known: int = 0) -> int | None:
        """Count an arrival. None if it is dropped, else the threshold that it passed.

        `known` is the threshold that the sender applied; a share of what passed it is kept.
        """
        now = self._clock()
        # Those before it: with itself, one alone would look like one a second.
        rate = self._rate * math.exp(-max(0.0, now - self._at))
        self._rate = rate + 1
        self._at = max(now, self._at)
        threshold = known
        if rate > self._per_second:
            dropped = 1 - _SHARE * self._per_second / rate
            threshold = max(known, known + int(dropped * (_NEVER - known)) & _PRECISION)
        if randomness < threshold:
            return None
        if self._bucket.take():
            return threshold
        self._cut_at = now
        return None


def _kept(attributes: Attributes, state: TraceState) -> SamplingResult:
    return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)


def _dropped(state: TraceState) -> SamplingResult:
    return SamplingResult(Decision.DROP, None, state) if state else _DROPPED


def _randomness(trace_id: int, state: TraceState) -> int:
    found = _RANDOMNESS.search(state.get(_OURS, "")) if state else None
    return int(found[1], 16) if found else trace_id & (_NEVER - 1)


def _threshold_in(state: TraceState) -> int | None:
    """None if the state does not contain the share that its sender keeps."""
    found = _THRESHOLD.search(state.get(_OURS, "")) if state else None
    return int(found[1].ljust(14, "0"), 16) if found else None


def _with_threshold(state: TraceState, threshold: int | None) -> TraceState:
    """The state with this threshold instead of its own; with None, without a threshold."""
    if not state and threshold is None:
        return state
    parts = [one for one in state.get(_OURS, "").split(";") if one and not one.startswith("th:")]
    if threshold is not None:
        parts.insert(0, f"th:{threshold:014x}".rstrip("0") if threshold else "th:0")
    others = [(key, value) for key, value in state.items() if key != _OURS]
    if not parts:
        return TraceState(others) if _OURS in state else state
    return TraceState([(_OURS, ";".join(parts)), *others[:_MAX_FOREIGN]])
