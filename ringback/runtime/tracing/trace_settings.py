"""The tracing settings: the standard variables, and our file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from opentelemetry.sdk.trace.sampling import Sampler

from ringback.contract.telemetry import LogEvent
from ringback.runtime.process.settings import TraceSettings, load
from ringback.runtime.tracing.sampler import sampler_of

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS = {"otlp", "none"}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tracing:
    sampler: Sampler
    by_otlp: bool
    file: Path | None


def tracing_asked_for(environ: Mapping[str, str]) -> Tracing:
    """Read an environment without unusable OTEL_ variables (`drop_unusable`).

    Without OTEL_TRACES_EXPORTER, spans are exported by OTLP if an endpoint is set, else not at all.
    Raises SettingsError for an unusable RINGBACK_TRACE_FILE.
    """
    if _text(environ, "OTEL_SDK_DISABLED").lower() == "true":
        return Tracing(sampler_of({}), by_otlp=False, file=None)
    return Tracing(
        sampler_of(environ),
        by_otlp=_is_otlp(environ),
        file=load(TraceSettings, environ).trace_file,
    )


def _is_otlp(environ: Mapping[str, str]) -> bool:
    given = {part.strip() for part in _text(environ, "OTEL_TRACES_EXPORTER").split(",")} - {""}
    if not given <= _EXPORTERS:
        _warn("OTEL_TRACES_EXPORTER", "must be otlp or none")
    known = given & _EXPORTERS
    if not known and any(_text(environ, name) for name in _ENDPOINTS):
        known = {"otlp"}
    if "otlp" not in known:
        return False
    protocol, name = next(
        ((text, name) for name in _PROTOCOLS if (text := _text(environ, name))), ("grpc", "")
    )
    if protocol != "grpc":
        # With gRPC nothing would arrive at a server that uses another protocol.
        _warn(name, "must be grpc, the only protocol there is; no span is sent by OTLP")
    return protocol == "grpc"


def _warn(variable: str, reason: str) -> None:
    log.warning(LogEvent.VARIABLE_IGNORED, variable=variable, reason=reason)


def _text(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()
