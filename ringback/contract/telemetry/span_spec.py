from dataclasses import dataclass
from enum import StrEnum

from ringback.contract.telemetry.attribute_spec import AttributeSpec
from ringback.contract.telemetry.service_name import Service


class SpanKind(StrEnum):
    """OpenTelemetry's names for the kinds."""

    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpanSpec:
    """One kind of span. `name` has a word in braces for each part that differs between spans."""

    name: str
    kind: SpanKind
    tells: str
    services: tuple[Service, ...]
    attributes: tuple[AttributeSpec, ...] = ()
