"""Instruments of the API calls: metrics, one log line and one span per call."""

from collections.abc import Iterable
from dataclasses import dataclass

import grpc
import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent, Metric
from ringback.runtime.observability.instruments import Instruments
from ringback.runtime.tracing import OpenSpan
from services.metrics.api.call_spans import tell_ending
from services.metrics.api.errors import ApiError
from services.metrics.api.methods import Method
from services.metrics.api.peer import Peer
from services.metrics.api.principal import Principal

_MOST_CAUSE = 300

_CODES = frozenset(grpc.StatusCode) - {
    # Our code ends no call like this; if one does, its series starts then.
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
}
_WORTH_A_LOOK = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
}


@dataclass(slots=True)
class Ending:
    """What is known of a call when it ends. `principal` is None when authentication failed."""

    method: Method
    peer: Peer
    span: OpenSpan
    principal: Principal | None = None
    code: grpc.StatusCode = grpc.StatusCode.OK
    error: ApiError | None = None
    answers: int = 0


class CallObserver:
    """Counts and logs. It never raises or waits, and receives no token and no event."""

    def __init__(self, registry: CollectorRegistry, methods: Iterable[Method]) -> None:
        self._log = structlog.get_logger()
        instruments = Instruments(registry)
        methods = tuple(methods)
        codes = [code.name for code in _CODES]
        self._calls = instruments.counter(
            Metric.RPC_CALLS, method=[method.full_name for method in methods], code=codes
        )
        self._seconds = instruments.histogram(
            Metric.RPC_SECONDS,
            method=[method.full_name for method in methods if not method.is_server_streaming],
        )

    def unforeseen(self, method: Method, error: Exception) -> None:
        self._log.error(LogEvent.RPC_FAILED, method=method.full_name, exc_info=error)

    def finished(self, ending: Ending, *, duration_s: float) -> None:
        method, protocol = ending.method, ending.peer.protocol
        self._calls.labels(method.full_name, protocol, ending.code.name).inc()
        if not method.is_server_streaming:
            self._seconds.labels(method.full_name, protocol).observe(duration_s)
        principal, error = ending.principal, ending.error
        tell_ending(ending.span, ending.code, error, principal)
        tell = self._log.warning if ending.code in _WORTH_A_LOOK else self._log.info
        tell(
            LogEvent.RPC_FINISHED,
            method=method.full_name,
            protocol=protocol.value,
            code=ending.code.name,
            reason=error.reason if error else None,
            cause=_cause(error),
            duration_ms=round(duration_s * 1000, 2),
            messages=ending.answers,
            role=principal.role.value if principal else None,
            org_id=str(principal.org_id) if principal and principal.org_id else None,
            subject=principal.subject if principal else None,
            peer=ending.peer.address,
            trace_id=ending.span.context.trace_id,
        )


def _cause(error: ApiError | None) -> str | None:
    cause = error.__cause__ if error else None
    return f"{type(cause).__name__}: {cause}"[:_MOST_CAUSE] if cause else None
