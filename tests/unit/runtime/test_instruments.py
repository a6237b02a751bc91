"""Tests for ringback.runtime.observability.instruments."""

import pytest
from prometheus_client import CollectorRegistry

import ringback
from ringback.contract.telemetry import Metric
from ringback.contract.telemetry.spec import Service
from ringback.contract.trace_context import TraceContext
from ringback.runtime.observability.instruments import Exemplars, Instruments, process_registry


def test_known_series_begin_at_zero() -> None:
    """A rate needs a first value; what is open begins where it is known, and only there."""
    registry = CollectorRegistry()
    instruments = Instruments(registry)

    instruments.counter(Metric.REJECTED, endpoint=("",))
    instruments.counter(Metric.RPC_CALLS, method=["a.B/C"], code=["OK"])
    instruments.histogram(Metric.RPC_SECONDS)

    labels = {"method": "a.B/C", "transport": "rest", "code": "OK"}
    assert (
        registry.get_sample_value("webhook_rejected_total", {"endpoint": "", "reason": "too_large"})
        == 0
    )
    assert registry.get_sample_value("rpc_server_calls_total", labels) == 0
    assert not [
        sample
        for family in registry.collect()
        for sample in family.samples
        if sample.name.startswith("rpc_server_call_duration")
    ]


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


def test_a_process_says_what_it_is() -> None:
    registry = process_registry(Service.GATEWAY)

    labels = {"version": ringback.__version__, "service": "gateway"}
    assert registry.get_sample_value("ringback_build_info", labels) == 1
    assert (registry.get_sample_value("process_resident_memory_bytes") or 0) > 0
