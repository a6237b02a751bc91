"""Tests for ringback.contract.trace_context, by the words of w3.org/TR/trace-context."""

import pytest

from ringback.contract.trace_context import TraceContext, new_trace_context, trace_context_of

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE_ID}-{SPAN_ID}-01"


@pytest.mark.parametrize("traceparent", [GOOD, GOOD[:-2] + "00", "cc" + GOOD[2:]])
def test_a_good_traceparent_is_kept(traceparent: str) -> None:
    """Our trace continues the caller's, sampled or not."""
    context = trace_context_of(traceparent, None)

    assert context == TraceContext(traceparent)
    assert (context.trace_id, context.span_id) == (TRACE_ID, SPAN_ID)


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "ff" + GOOD[2:],  # the one version that is forbidden
        f"00-{'0' * 32}-{SPAN_ID}-01",  # a trace of zeros
        f"00-{TRACE_ID}-{'0' * 16}-01",  # a span of zeros
        GOOD.upper(),
        GOOD + "-extra",
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace("-", "_"),
        GOOD[:-1],
        GOOD.replace("4", "\ud800"),
    ],
)
def test_a_bad_traceparent_is_no_context(traceparent: str | None) -> None:
    """An invalid context counts as none, including its state."""
    assert trace_context_of(traceparent, "vendor=1") is None


@pytest.mark.parametrize(
    ("states", "are_kept"),
    [
        (["congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "x" * 512], True),
        # The third is bytes that are no UTF-8, as an HTTP server hands them on.
        (["x" * 513, "", "a=\udcff", "a=\x00", "a=é", "a=1\r\nb=2", None], False),
    ],
)
def test_a_state_is_kept_if_every_carrier_can_hold_it(
    states: list[str | None], *, are_kept: bool
) -> None:
    """An invalid state does not lose the trace."""
    for state in states:
        assert trace_context_of(GOOD, state) == TraceContext(GOOD, state if are_kept else None)


def test_a_new_context_is_a_good_one() -> None:
    """Our own trace ids are valid for others, and unique."""
    first, second = new_trace_context(), new_trace_context()

    assert trace_context_of(first.traceparent, None) == first
    assert first.trace_id != second.trace_id
