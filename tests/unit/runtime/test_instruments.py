"""Tests for ringback.runtime.observability.instruments."""

from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import Metric
from ringback.runtime.observability.instruments import Instruments


def test_known_series_begin_at_zero() -> None:
    """A rate needs a first value; what is open begins where it is known, and only there."""
    registry = CollectorRegistry()
    instruments = Instruments(registry)

    instruments.counter(Metric.REJECTED)
    instruments.counter(Metric.RPC_CALLS, method=["a.B/C"], code=["OK"])
    instruments.histogram(Metric.RPC_SECONDS)

    labels = {"method": "a.B/C", "protocol": "rest", "code": "OK"}
    assert registry.get_sample_value("webhook_rejected_total", {"reason": "too_large"}) == 0
    assert registry.get_sample_value("rpc_server_calls_total", labels) == 0
    assert not [
        sample
        for family in registry.collect()
        for sample in family.samples
        if sample.name.startswith("rpc_server_duration")
    ]
