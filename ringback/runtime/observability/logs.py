"""Logs are JSON lines on stdout. Library logs are formatted the same way."""

import json
import logging
import sys
from collections.abc import Mapping
from io import TextIOWrapper
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from ringback.runtime.process.settings import LogSettings


def configure(service: str, settings: LogSettings, stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging for this process."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    stream = stream or sys.stdout
    if isinstance(stream, TextIOWrapper):
        # A line that cannot be encoded must not stop the work that it reports.
        stream.reconfigure(errors="backslashreplace")

    def name_service(_logger: Any, _method: str, event: EventDict) -> EventDict:
        # Not bound to the context, because threads have another one.
        return {**event, "service": service}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        name_service,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(timestamp_key="ts", colors=stream.isatty())
        if settings.log_format == "console"
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    _take_in_libraries(stream, formatter, max(level, logging.WARNING))


def _take_in_libraries(stream: TextIO, formatter: logging.Formatter, level: int) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # It logs each lost connection with a stack, and our own connection logs the same in one line.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    logging.getLogger("aio_pika").setLevel(logging.CRITICAL)


def _json(event: Mapping[str, Any], **_: Any) -> str:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # It rejects lone surrogates and integers beyond 64 bits, which untrusted senders may send.
        return json.dumps(event, default=str, skipkeys=True)
