"""What a declaration of telemetry contains, and the event types that metrics distinguish."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, Self, TypeVar, get_args


class Service(StrEnum):
    """The emitting service. The value is in each log line, and is the Prometheus job."""

    GATEWAY = "gateway"
    PROCESSOR = "processor"
    METRICS = "metrics"


class Kind(StrEnum):
    """Prometheus's names for the types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Open:
    """A label whose values the contract cannot list. There are few of them."""

    description: str


LabelValues = tuple[str, ...] | Open


@dataclass(frozen=True, slots=True, eq=False)
class MetricSpec:
    """One family of series: what it measures, and its labels with all possible values.

    The name ends in its unit. `buckets` are the upper bounds of a histogram, without infinity.
    """

    name: str
    kind: Kind
    help: str
    services: tuple[Service, ...]
    labels: Mapping[str, LabelValues]
    buckets: tuple[float, ...] | None = None


class LogEventSpec(str):  # ruff: ignore[subclass-builtin]  # the logger and JSON take a text as it is
    """The name of a kind of log line; as a text it is the name in the line.

    `fields` are all fields that such a line may have beside those of every line.
    """

    __slots__ = ("description", "fields", "services")
    fields: tuple[str, ...]
    services: tuple[Service, ...]
    description: str

    def __new__(
        cls, name: str, description: str, services: tuple[Service, ...], fields: tuple[str, ...]
    ) -> Self:
        self = super().__new__(cls, name)
        self.description = description
        self.services = services
        self.fields = fields
        return self


class Emitter:
    """Some services; each method declares what they emit. `labels` maps names to values.

    `fields` are separated by spaces.
    """

    def __init__(self, *services: Service) -> None:
        self._services = services

    def counter(self, name: str, what: str, /, **labels: LabelValues) -> MetricSpec:
        return MetricSpec(name, Kind.COUNTER, what, self._services, labels)

    def gauge(self, name: str, what: str, /, **labels: LabelValues) -> MetricSpec:
        return MetricSpec(name, Kind.GAUGE, what, self._services, labels)

    def histogram(
        self, name: str, what: str, /, *, buckets: tuple[float, ...], **labels: LabelValues
    ) -> MetricSpec:
        return MetricSpec(name, Kind.HISTOGRAM, what, self._services, labels, buckets)

    def log(self, name: str, what: str, /, *, fields: str = "") -> LogEventSpec:
        return LogEventSpec(name, what, self._services, tuple(fields.split()))


GATEWAY: Final = Emitter(Service.GATEWAY)
PROCESSOR: Final = Emitter(Service.PROCESSOR)
METRICS: Final = Emitter(Service.METRICS)
GATEWAY_AND_METRICS: Final = Emitter(Service.GATEWAY, Service.METRICS)
GATEWAY_AND_PROCESSOR: Final = Emitter(Service.GATEWAY, Service.PROCESSOR)
EVERY_SERVICE: Final = Emitter(*Service)


class AttributeSpec(str):  # ruff: ignore[subclass-builtin]  # OpenTelemetry takes a text as it is
    """The name of a span attribute; as a text it is the name in the span."""

    __slots__ = ("description",)
    description: str

    def __new__(cls, name: str, description: str) -> Self:
        self = super().__new__(cls, name)
        self.description = description
        return self


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
    description: str
    services: tuple[Service, ...]
    attributes: tuple[AttributeSpec, ...] = ()


_Declaration = TypeVar("_Declaration")


def declared(declarations: type, kind: type[_Declaration]) -> dict[str, _Declaration]:
    """The declarations of `kind` in a class and its bases, by their Python names."""
    return {
        name: value
        for base in reversed(declarations.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, kind)
    }


OTHER_EVENT_TYPE: Final = "other"

KNOWN_EVENT_TYPES: Final = frozenset(
    {
        "assistant-request",
        "assistant.speechStarted",
        "assistant.started",
        "call.artifact.upload",
        "call.delete.failed",
        "call.deleted",
        "call.endpointing.request",
        "campaign.predial",
        "chat.created",
        "chat.deleted",
        "conversation-update",
        "end-of-call-report",
        "function-call",
        "handoff-destination-request",
        "hang",
        "knowledge-base-request",
        "language-change-detected",
        "model-output",
        "phone-call-control",
        "session.created",
        "session.deleted",
        "session.updated",
        "speech-update",
        "status-update",
        "tool-calls",
        "transcript",
        "transfer-destination-request",
        "transfer-update",
        "user-interrupted",
        "voice-input",
        "voice-request",
    }
)
"""The types that Vapi documents. Other types are accepted too; as a label they are `other`."""


QuestionType = Literal[
    "assistant-request",
    "call.endpointing.request",
    "campaign.predial",
    "handoff-destination-request",
    "knowledge-base-request",
    "tool-calls",
    "transfer-destination-request",
    "voice-request",
]
QUESTION_TYPES: Final[frozenset[str]] = frozenset(get_args(QuestionType))
"""The types of events for which Vapi waits for an answer."""

EVENT_TYPE_LABELS: Final = (*sorted(KNOWN_EVENT_TYPES), OTHER_EVENT_TYPE)


def event_type_label(event_type: str) -> str:
    """A label of bounded cardinality: untrusted senders choose types, and each is a series."""
    base = event_type.partition("[")[0]
    return base if base in KNOWN_EVENT_TYPES else OTHER_EVENT_TYPE
