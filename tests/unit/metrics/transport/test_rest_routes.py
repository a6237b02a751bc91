"""Which method a verb and a path mean."""

from dataclasses import replace
from typing import Any

import pytest
from google.api import http_pb2
from hypothesis import given
from hypothesis import strategies as st

from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.metrics.transport.methods import methods_of
from ringback.services.metrics.transport.rest_routes import (
    NoSuchPath,
    RestRoutes,
    Route,
    WrongVerb,
    http_rule,
)
from tests.unit.metrics.transport.scripted_api import METHODS

ROUTES = RestRoutes(methods_of())
API = "/api/webhook-metrics"


@pytest.mark.parametrize(
    ("verb", "path", "method", "variables"),
    [
        ("GET", "/queue-health", "GetQueueHealth", {}),
        ("GET", "/queue-health:watch", "WatchQueueHealth", {}),
        ("GET", "/delivery-stats", "GetDeliveryStats", {}),
        ("GET", "/recent-failures", "ListRecentFailures", {}),
        ("GET", "/dead-letter-queue", "ListDeadLetters", {}),
        ("GET", "/deliveries/0190", "GetDelivery", {"job_id": "0190"}),
        ("GET", "/deliveries", "ListDeliveries", {}),
        ("GET", "/failure-groups", "ListFailureGroups", {}),
        ("GET", "/destinations", "ListDestinations", {}),
        (
            "POST",
            "/destinations/google-calendar:set",
            "SetDestination",
            {"name": "google-calendar"},
        ),
        ("POST", "/retry-failed/0190", "RetryDelivery", {"job_id": "0190"}),
        ("POST", "/deliveries:retry", "RetryDeliveries", {}),
        ("POST", "/dead-letter-queue/0190:discard", "DiscardDeadLetter", {"job_id": "0190"}),
        ("POST", "/deliveries/0190:run", "RunDuplicate", {"job_id": "0190"}),
        ("GET", "/endpoints", "ListEndpoints", {}),
        ("GET", "/changes", "ListChanges", {}),
        ("GET", "/waiting", "ListWaiting", {}),
        ("POST", "/waiting:release", "ReleaseWaiting", {}),
        ("POST", "/waiting:cancel", "CancelWaiting", {}),
        ("POST", "/processing:pause", "PauseProcessing", {}),
        ("POST", "/processing:resume", "ResumeProcessing", {}),
        # An encoded variable is decoded, once.
        ("GET", "/deliveries/a%2Fb%2520", "GetDelivery", {"job_id": "a/b%20"}),
        # A custom verb ends the path; colons may precede it.
        ("POST", "/dead-letter-queue/a:b:discard", "DiscardDeadLetter", {"job_id": "a:b"}),
        ("HEAD", "/deliveries", "ListDeliveries", {}),
    ],
)
def test_a_path_means_a_method(
    verb: str, path: str, method: str, variables: dict[str, str]
) -> None:
    """Each has its path."""
    found = ROUTES.find(verb, API + path)

    assert isinstance(found, Route)
    assert (found.method.name, found.variables) == (method, variables)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        API,
        f"{API}/",
        f"{API}/queue-health/",
        f"{API}/queue-health:stop",
        f"{API}/deliveries/",
        f"{API}/deliveries/a/b",
        f"{API}/retry-failed/",
        f"/x{API}/queue-health",
        f"{API}/queue-health\n",
    ],
)
def test_another_path_means_nothing(path: str) -> None:
    """Paths match as a whole, and a variable is one segment that is not empty."""
    assert ROUTES.find("GET", path) == NoSuchPath()


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("POST", "/queue-health", ("GET", "HEAD")),
        ("GET", "/retry-failed/0190", ("POST",)),
        ("HEAD", "/queue-health:watch", ("GET",)),
        ("DELETE", "/deliveries:retry", ("POST",)),
        ("GET", "/deliveries/0190:run", ("POST",)),
    ],
)
def test_a_wrong_verb_gets_the_allowed_ones(verb: str, path: str, allowed: tuple[str, ...]) -> None:
    """A stream has no HEAD: it would never end."""
    assert ROUTES.find(verb, API + path) == WrongVerb(allowed)


@given(st.text(), st.text())
def test_any_text_is_answered(verb: str, path: str) -> None:
    """Whatever a client writes as a request line."""
    ROUTES.find(verb, path)


@pytest.mark.parametrize(
    "rule",
    [
        {"put": "/x"},
        {"get": "/x", "body": "*"},
        {"post": "/x"},
        {"post": "/x", "body": "reason"},
        {"get": "/x/{color}"},
        {"get": "/x/{job_id=*}"},
        {"get": "/x", "response_body": "delivery"},
        {"get": "/x", "additional_bindings": [http_pb2.HttpRule(get="/y")]},
    ],
)
def test_a_rule_that_cannot_be_served_stops_the_start(rule: dict[str, Any]) -> None:
    """No method of the contract is left out silently."""
    method = replace(METHODS["GetDelivery"], http_rule=http_pb2.HttpRule(**rule))

    with pytest.raises(CannotStartError, match=r"v1\.MetricsService\.GetDelivery"):
        http_rule(method)
