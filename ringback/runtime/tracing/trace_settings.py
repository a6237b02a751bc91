"""What the standard variables ask for, and the file of ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.sdk.trace.sampling import Sampler

from ringback.runtime.settings import SettingsError, TraceSettings, load
from ringback.runtime.tracing.sampler import sampler_of

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS = ("otlp", "none")


@dataclass(frozen=True, slots=True)
class Tracing:
    sampler: Sampler
    by_otlp: bool
    file: Path | None


def tracing_asked_for(environ: Mapping[str, str]) -> Tracing:
    """Raises SettingsError for what cannot be had.

    Without OTEL_TRACES_EXPORTER, spans go out by OTLP where an endpoint is set, else nowhere.
    """
    if _text(environ, "OTEL_SDK_DISABLED").lower() == "true":
        return Tracing(sampler_of({}), by_otlp=False, file=None)
    by_default = "otlp" if any(_text(environ, name) for name in _ENDPOINTS) else "none"
    exporter = _text(environ, "OTEL_TRACES_EXPORTER") or by_default
    if exporter not in _EXPORTERS:
        raise SettingsError(f"OTEL_TRACES_EXPORTER: must be one of {', '.join(_EXPORTERS)}")
    protocol = next(filter(None, (_text(environ, name) for name in _PROTOCOLS)), "grpc")
    if exporter == "otlp" and protocol != "grpc":
        raise SettingsError("OTEL_EXPORTER_OTLP_PROTOCOL: must be grpc, the only one there is")
    return Tracing(
        sampler_of(environ),
        by_otlp=exporter == "otlp",
        file=load(TraceSettings, environ).trace_file,
    )


def _text(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()
