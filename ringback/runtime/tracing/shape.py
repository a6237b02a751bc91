"""The fixed part of a span: its name, its kind, and attributes that never change."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.trace import SpanKind

from ringback.contract.telemetry.spec import SpanSpec

Value = str | int | float | bool
"""The types of an attribute's value; no lists."""

_PLACE = re.compile(r"\{([^}]+)\}")


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """The template of many spans. Created once, so that it is encoded once."""

    name: str
    kind: SpanKind
    attributes: Mapping[str, Value]


def shape_of(spec: SpanSpec, attributes: Mapping[str, Value]) -> Shape:
    """A shape whose name is built from these attributes; a missing one leaves its place empty.

    Raises KeyError for an attribute that is not declared.
    """
    for key in attributes:
        if key not in spec.attributes:
            raise KeyError(f"{spec.name} has no attribute {key}.")
    name = _PLACE.sub(lambda place: str(attributes.get(place[1], "")), spec.name)
    return Shape(name.strip(), SpanKind[spec.kind.name], attributes)
