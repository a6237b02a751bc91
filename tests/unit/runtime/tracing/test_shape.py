"""Tests for ringback.runtime.tracing.shape."""

import pytest
from opentelemetry.trace import SpanKind

from ringback.contract.telemetry.spans import Attribute, Span, all_spans
from ringback.contract.telemetry.spec import SpanSpec
from ringback.runtime.tracing.shape import Value, shape_of


def test_a_name_is_made_of_attributes() -> None:
    """Each word in braces is the attribute of that name."""
    attributes: dict[str, Value] = {Attribute.HTTP_METHOD: "POST", Attribute.HTTP_ROUTE: "/hooks"}

    shape = shape_of(Span.RECEIVE, attributes)

    assert (shape.name, shape.kind, shape.attributes) == (
        "POST /hooks",
        SpanKind.SERVER,
        attributes,
    )


def test_a_place_without_an_attribute_is_empty() -> None:
    """A request to no route is named by its method, as the conventions have it."""
    assert shape_of(Span.RECEIVE, {Attribute.HTTP_METHOD: "GET"}).name == "GET"


def test_what_is_not_declared_is_refused() -> None:
    """A shape accepts only declared attributes."""
    with pytest.raises(KeyError, match=r"http\.secret"):
        shape_of(Span.RECEIVE, {"http.secret": "x"})


@pytest.mark.parametrize("spec", all_spans(), ids=lambda spec: spec.name)
def test_every_declared_span_has_a_shape(spec: SpanSpec) -> None:
    """Each kind is one that OpenTelemetry has."""
    assert shape_of(spec, {}).kind in SpanKind
