"""Tests for ringback.runtime.observability.instruments."""

import ringback
from ringback.contract.telemetry.spec import Service
from ringback.runtime.observability.instruments import process_registry


def test_a_process_says_what_it_is() -> None:
    """Its version is a label, and its memory is known without another exporter."""
    registry = process_registry(Service.GATEWAY)

    labels = {"version": ringback.__version__, "service": "gateway"}
    assert registry.get_sample_value("ringback_build_info", labels) == 1
    assert (registry.get_sample_value("process_resident_memory_bytes") or 0) > 0
