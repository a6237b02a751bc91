"""Logs are JSON lines on stdout. Library logs are formatted the same way."""

import asyncio
import atexit
import json
import logging
import os
import select
import stat
import sys
import threading
from collections.abc import Mapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from ringback.contract.telemetry import LogEvent
from ringback.runtime.process.settings import LogSettings

_MAX_WAITING_BYTES = 1024 * 1024
_RETRY_AFTER_S = 0.01
_WAIT_S = 1.0


class LineWriter:
    """Writes lines to a file or pipe, without blocking the event loop.

    All lines of one iteration of the loop are one write. If a pipe is full, up to 1 MiB of lines
    wait; more are dropped, and a later line reports how many. So a reader that is slow, stuck or
    gone stops no work.
    """

    def __init__(self, stream: TextIO) -> None:
        self._file = stream.fileno()
        # A pipe that is ready for writing has room for this much.
        self._max_write_bytes = _MAX_WAITING_BYTES if _is_regular(self._file) else select.PIPE_BUF
        self._waiting = bytearray()
        self._is_torn = False
        self._dropped = 0
        # Reentrant, because the garbage collector can run code that logs anywhere.
        self._lock = threading.RLock()
        self._flushing_in: asyncio.AbstractEventLoop | None = None

    def write(self, line: str) -> None:
        encoded = line.encode(errors="backslashreplace")
        with self._lock:
            if self._is_torn and not self._waiting:
                # The rest of that line was dropped; without this, it would spoil the next one.
                encoded = b"\n" + encoded
            if len(self._waiting) + len(encoded) > _MAX_WAITING_BYTES:
                self._dropped += 1
            else:
                self._waiting += encoded

    def flush(self) -> None:
        """Write the lines at the end of the loop's iteration; without a loop, write them now."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.write_now()
            return
        if self._flushing_in is not loop:
            self._flushing_in = loop
            loop.call_soon(self._flush_in, loop)

    def write_now(self) -> None:
        """Write the lines before the process ends; a reader that stopped reading gets no more."""
        while not self._write_ready() and self._has_room(within_s=_WAIT_S):
            pass

    def _flush_in(self, loop: asyncio.AbstractEventLoop) -> None:
        self._flushing_in = None
        if not self._write_ready():
            self._flushing_in = loop
            loop.call_later(_RETRY_AFTER_S, self._flush_in, loop)

    def _write_ready(self) -> bool:
        """Write as much as there is room for; return whether that was everything."""
        is_written = False
        with self._lock:
            while self._waiting and self._has_room(within_s=0):
                try:
                    size_bytes = os.write(self._file, self._waiting[: self._max_write_bytes])
                    self._is_torn = self._waiting[size_bytes - 1] != ord("\n")
                    is_written = True
                except OSError:  # The reader is gone, or the disk is full.
                    size_bytes = len(self._waiting)
                    self._dropped += self._waiting.count(b"\n")
                    is_written = False
                del self._waiting[:size_bytes]
            is_empty = not self._waiting
            dropped = self._dropped if is_empty and is_written else 0
            self._dropped -= dropped
        if dropped:
            structlog.get_logger().warning(LogEvent.LOG_LINES_DROPPED, count=dropped)
        return is_empty

    def _has_room(self, *, within_s: float) -> bool:
        return bool(select.select([], [self._file], [], within_s)[1])


def _is_regular(file: int) -> bool:
    return stat.S_ISREG(os.fstat(file).st_mode)


def configure(service: str, settings: LogSettings, stream: TextIO | None = None) -> LineWriter:
    """Set up structlog and the standard library's logging for this process.

    Code that ends the process by `os._exit` must first call `write_now` of the writer.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    stream = stream or sys.stdout
    writer = LineWriter(stream)
    atexit.register(writer.write_now)

    def name_service(_logger: Any, _method: str, event: EventDict) -> EventDict:
        # Not bound to the context, because threads have another one.
        event["service"] = service
        return event

    shared: list[Processor] = [
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
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type]  # it needs only write and flush
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    _take_in_libraries(writer, formatter, max(level, logging.WARNING))
    return writer


def _take_in_libraries(writer: LineWriter, formatter: logging.Formatter, level: int) -> None:
    handler = logging.StreamHandler(writer)
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
