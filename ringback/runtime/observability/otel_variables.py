"""Ignore unusable OTEL_ variables, as the specification asks: telemetry must not stop a service.

The libraries read some of the variables at import and raise errors, so this module is imported
before them and imports no telemetry library.
"""

import math
import os
import re
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from urllib.parse import urlsplit

SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_QUEUE, _BATCH = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
_DETECTORS = {"*", "host", "os", "otel", "process", "service_instance"}
_HEADER = re.compile(
    r"""[ \t]*[\w!#$%&'*+.^`|~-]+[ \t]*=[^\x00-\x1f",;\\\x7f-\U0010ffff]*""", re.ASCII
)
"""What the exporters read. They log any other header, and its value is a secret."""

dropped: dict[str, str] = {}
"""Variables that were ignored in this process, and why. No values, because they may be secret."""


def drop_unusable(
    environ: MutableMapping[str, str] = os.environ, into: dict[str, str] = dropped
) -> None:
    """Remove unusable variables from the environment, and add those with a reason to `into`."""
    for name, reason in unusable(environ).items():
        del environ[name]
        if reason:
            into[name] = reason
    for name, value in environ.items():
        if name.startswith("OTEL_") and value != value.strip():
            environ[name] = value.strip()


def unusable(environ: Mapping[str, str]) -> dict[str, str]:
    """List the variables to ignore, and why.

    The reason is empty if the variable asks for the default.
    """
    found = {}
    for name, text in environ.items():
        if not name.startswith("OTEL_"):
            continue
        value = text.strip()
        reason = "" if not value else _reason(name, value)
        if reason is not None:
            found[name] = reason
    queue, batch = (environ.get(name, "").strip() for name in (_QUEUE, _BATCH))
    if _is_positive(queue) and _is_positive(batch) and int(batch) > int(queue):
        found[_BATCH] = f"must not be above {_QUEUE}"
    return found


def _reason(name: str, value: str) -> str | None:
    if name.startswith("OTEL_EXPORTER_OTLP_"):
        kind = name.removeprefix("OTEL_EXPORTER_OTLP_").removeprefix("TRACES_")
        if kind == "COMPRESSION" and value.lower() == "none":
            return ""
        check, reason = _OF_THE_EXPORTER.get(kind, _ANYTHING)
    elif name.endswith("_LIMIT"):
        check, reason = _is_whole_number, "must be a whole number"
    else:
        check, reason = _CHECKS.get(name, _ANYTHING)
    return None if check(value) else reason


def _is_whole_number(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 10  # ruff: ignore[magic-value-comparison]


def _is_positive(value: str) -> bool:
    return _is_whole_number(value) and int(value) > 0


def _is_duration(value: str) -> bool:
    try:
        return 0 < float(value) < math.inf
    except ValueError:
        return False


def _is_ratio(value: str) -> bool:
    try:
        return 0 <= float(value) <= 1
    except ValueError:
        return False


def _is_endpoint(value: str) -> bool:
    try:
        # Without a scheme it is `host:port`.
        parts = urlsplit(value if "://" in value else f"http://{value}")
        # The exporter by gRPC uses no password, and logs it.
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and "@" not in parts.netloc
        )
    except ValueError:
        return False


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_file() and os.access(value, os.R_OK)
    except (ValueError, OSError):  # A NUL, or a name that is too long.
        return False


_Check = tuple[Callable[[str], bool], str]
_ANYTHING: _Check = (lambda _: True, "")
_BOOLEAN: _Check = (lambda value: value.lower() in {"true", "false"}, "must be true or false")
_FILE: _Check = (_is_file, "must be a file that can be read")
_OF_THE_EXPORTER: dict[str, _Check] = {
    "ENDPOINT": (_is_endpoint, "must be a URL such as http://collector:4317, without a password"),
    "TIMEOUT": (_is_duration, "must be a number of seconds"),
    "COMPRESSION": (lambda value: value.lower() == "gzip", "must be gzip or none"),
    "HEADERS": (
        lambda value: all(map(_HEADER.fullmatch, value.strip(",").split(","))),
        'must be name=value, with commas between them and %22, %3B and %5C for ", ; and \\',
    ),
    "INSECURE": _BOOLEAN,
    "CERTIFICATE": _FILE,
    "CLIENT_KEY": _FILE,
    "CLIENT_CERTIFICATE": _FILE,
    "PROTOCOL": (
        lambda value: value in {"grpc", "http/protobuf"},
        "must be grpc or http/protobuf",
    ),
}
_CHECKS: dict[str, _Check] = {
    "OTEL_SDK_DISABLED": _BOOLEAN,
    "OTEL_TRACES_EXPORTER": (
        lambda value: value.lower() in {"otlp", "none"},
        "must be otlp or none",
    ),
    "OTEL_TRACES_SAMPLER": (
        lambda value: value.lower() in SAMPLERS,
        f"must be one of {', '.join(SAMPLERS)}",
    ),
    "OTEL_TRACES_SAMPLER_ARG": (_is_ratio, "must be a number from 0 to 1"),
    **dict.fromkeys(
        (_QUEUE, _BATCH, "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT"),
        (_is_positive, "must be a whole number above 0"),
    ),
    "OTEL_PYTHON_TRACER_PROVIDER": (
        lambda _: False,
        "must not be set: the services have a provider of their own",
    ),
    "OTEL_PYTHON_CONTEXT": (
        lambda value: value == "contextvars_context",
        "must be contextvars_context, the only one there is",
    ),
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": (
        lambda value: {part.strip() for part in value.split(",")} <= _DETECTORS,
        f"must be some of {', '.join(sorted(_DETECTORS))}",
    ),
}
