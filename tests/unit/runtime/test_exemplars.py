"""Tests for ringback.runtime.observability.instruments."""

import pytest

from ringback.contract.trace_context import TraceContext
from ringback.runtime.observability.instruments import Exemplars

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("is_traced", "flags", "exemplar"),
    [
        (True, "01", {"trace_id": TRACE_ID}),
        (True, "03", {"trace_id": TRACE_ID}),
        (True, "02", None),
        (False, "01", None),
    ],
)
def test_only_a_trace_that_is_kept_here_is_named(
    is_traced: bool,  # ruff: ignore[boolean-type-hint-positional-argument]  # a row of the table
    flags: str,
    exemplar: dict[str, str] | None,
) -> None:
    """A link to an unrecorded trace would lead nowhere."""
    trace = TraceContext(f"00-{TRACE_ID}-00f067aa0ba902b7-{flags}")

    assert Exemplars(is_traced=is_traced).of(trace) == exemplar
