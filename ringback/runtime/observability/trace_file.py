"""Appends spans to a file: OTLP in JSON, one document per line."""

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path

import orjson
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_LARGEST_BYTES = 64 * 1024 * 1024


class TraceFileExporter(SpanExporter):
    """Several processes may append to one file. A full file is renamed with the suffix `.1`."""

    def __init__(self, path: Path, *, largest_bytes: int = _LARGEST_BYTES) -> None:
        self._path = path
        self._largest_bytes = largest_bytes

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append one line. Raises OSError."""
        self._append(_line(spans))
        return SpanExportResult.SUCCESS

    def _append(self, line: bytes) -> None:
        """Append everything or nothing, even if others append or the disk is full."""
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = os.fstat(file)
            try:
                _write(file, line)
            except OSError:
                os.ftruncate(file, before.st_size)
                raise
            # Another process may have rotated it while this one waited for the lock.
            if before.st_size + len(line) > self._largest_bytes and self._is_still(before):
                self._path.replace(f"{self._path}.1")
        finally:
            os.close(file)

    def _is_still(self, file: os.stat_result) -> bool:
        try:
            return os.path.samestat(file, self._path.stat())
        except FileNotFoundError:
            return False


def _write(file: int, line: bytes) -> None:
    while line:
        line = line[os.write(file, line) :]


def _line(spans: Sequence[ReadableSpan]) -> bytes:
    document = encode_spans(spans).to_dict()
    try:
        return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # A handler may set text that is not Unicode.
        return json.dumps(document, ensure_ascii=False).encode(errors="replace") + b"\n"
