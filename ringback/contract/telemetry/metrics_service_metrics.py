"""What only the metrics service measures."""

from typing import Final

from ringback.contract.telemetry.metric_spec import Kind, MetricSpec, Open
from ringback.contract.telemetry.service_name import Service

METRICS: Final = (Service.METRICS,)

GRPC_CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

_METHOD: Final = Open("the full name of a method of the contract in `protos/`")
_PROTOCOL: Final = ("grpc", "rest")


class MetricsServiceMetric:
    DEAD_LETTER_QUEUE_SIZE: Final = MetricSpec(
        name="webhook_dead_letter_queue_size",
        kind=Kind.GAUGE,
        help="Dead letters that nobody has resolved: in the log, and waiting to be recorded.",
        services=METRICS,
    )
    QUEUE_MESSAGES: Final = MetricSpec(
        name="webhook_queue_messages",
        kind=Kind.GAUGE,
        help="Messages ready in a queue.",
        services=METRICS,
        labels={"queue": Open("a queue of the topology; each rung of the ladder is one")},
    )
    RPC_CALLS: Final = MetricSpec(
        name="rpc_server_calls_total",
        kind=Kind.COUNTER,
        help="Calls that ended, by how they ended.",
        services=METRICS,
        labels={"method": _METHOD, "protocol": _PROTOCOL, "code": GRPC_CODES},
    )
    RPC_SECONDS: Final = MetricSpec(
        name="rpc_server_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from a call to its answer; streams are left out.",
        services=METRICS,
        labels={"method": _METHOD, "protocol": _PROTOCOL},
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    )
