"""Tests for ringback.runtime.tracing.resource."""

from uuid import UUID

import pytest

import ringback
from ringback.runtime.tracing.resource import resource_of


def test_a_process_says_who_it_is() -> None:
    """Name, namespace, version, and an id that no other process has."""
    told = resource_of("gateway")

    assert told["service.name"] == "ringback-gateway"
    assert told["service.namespace"] == "ringback"
    assert told["service.version"] == ringback.__version__
    assert told["telemetry.sdk.language"] == "python"
    assert UUID(str(told["service.instance.id"])).version == 4


def test_the_environment_goes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard's two variables, of which the name has the last word."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,service.instance.id=pod-1,x=y")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "inbox")

    told = resource_of("gateway")

    assert (told["service.name"], told["service.instance.id"], told["x"]) == ("inbox", "pod-1", "y")
