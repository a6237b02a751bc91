"""Selects the lines of the services' logs that are shown on the terminal."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringback.contract.telemetry import LogEvent
from ringback.local.console import printable

# Fields that help to search the log, but not to follow it.
HIDDEN = frozenset(
    {"event", "level", "ts", "service", "trace_id", "span_id", "exception", "org_id", "endpoint_id"}
)
LOUD = frozenset({"warning", "error", "critical"})


@dataclass(frozen=True, slots=True)
class Shown:
    service: str
    level: str
    text: str


def shown_line(service: str, line: str) -> Shown | None:
    """Select results of webhooks and warnings; None for every other line."""
    try:
        entry = json.loads(line)
    except ValueError:
        # A traceback, or a library that prints. The log file contains it.
        return None
    if not isinstance(entry, dict):
        return None
    level, event = str(entry.get("level", "info")), str(entry.get("event", ""))
    if event == LogEvent.DEAD_LETTER_RECORDED:
        return Shown(service, level, printable(_dead_letter(entry)))
    if level in LOUD or (level == "info" and event == LogEvent.WEBHOOK_REJECTED):
        return Shown(service, level, printable(" ".join([event, *_fields(entry)])))
    if level == "info" and event == LogEvent.ATTEMPT_FINISHED:
        return Shown(service, level, printable(_attempt(entry)))
    return None


def _attempt(entry: Mapping[str, Any]) -> str:
    """The result of an attempt, in short."""
    kind, outcome = entry.get("event_type"), entry.get("outcome")
    if entry.get("error_class"):
        outcome = f"{outcome} with {entry['error_class']}"
    attempts, duration_ms = entry.get("attempts"), entry.get("duration_ms")
    return f"{kind} {outcome}, attempt {attempts}, {duration_ms} ms, job {entry.get('job_id')}"


def _dead_letter(entry: Mapping[str, Any]) -> str:
    """The error of a dead letter, before what the terminal may cut."""
    errors = [str(entry[name]) for name in ("error_class", "error_message") if entry.get(name)]
    parts = [f"{entry.get('event_type')} is a dead letter", *errors]
    return f"{': '.join(parts)}, job {entry.get('job_id')}"


def _fields(entry: Mapping[str, Any]) -> list[str]:
    max_length = 80
    return [
        f"{name}={str(value)[:max_length]}"
        for name, value in entry.items()
        if name not in HIDDEN and value is not None
    ]


@dataclass(slots=True)
class Follower:
    """Reads what is appended to one file from now on, in whole lines."""

    path: Path
    _position: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.path.exists():
            self._position = self.path.stat().st_size

    def new_lines(self) -> list[str]:
        """The complete lines since the last call; an unfinished line is kept for the next."""
        max_bytes = 1_000_000
        try:
            with self.path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._position:
                    self._position = 0
                file.seek(self._position)
                whole, end, _ = file.read(max_bytes).rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._position += len(whole) + len(end)
        return whole.decode(errors="replace").splitlines()
