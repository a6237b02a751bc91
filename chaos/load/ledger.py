"""The client's own record of what it sent and which answers it got.

A file of JSON lines: one when a request is sent, one when its result is known. Each line is passed
to the system as it is written, so the ledger survives any death of the client. A request without a
second line got no answer.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import orjson

from chaos.load.webhook import Kind, Webhook

_ACCEPTED = 200
_VERSION = 1


class NoLedgerError(Exception):
    """The file is not a ledger; the text is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """One request: what it contained, and how it ended. Times are seconds since 1970."""

    number: int
    event: str
    is_written: bool
    """Whether a handler of the chaos suite leaves an effect of it."""
    attempts: int
    """How many attempts it needs if only the payload causes failures."""
    sent_at: float
    answered_at: float | None = None
    status: int | None = None
    job_id: str | None = None
    error: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.status == _ACCEPTED and self.job_id is not None

    @property
    def is_refused(self) -> bool:
        """Whether it got an answer other than an acceptance."""
        return self.status is not None and not self.is_accepted

    @property
    def is_unanswered(self) -> bool:
        """Whether the client got no answer: the webhook may have been stored, or not."""
        return self.status is None


class LedgerWriter:
    """Appends to a new file. Raises FileExistsError rather than mixing two runs."""

    def __init__(self, path: Path, *, run: str, url: str) -> None:
        self._file = path.open("xb", buffering=0)
        self._write({"ledger": _VERSION, "run": run, "url": url, "at": time.time()})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def sent(self, number: int, webhook: Webhook) -> None:
        self._write(
            {
                "n": number,
                "event": webhook.event,
                "type": webhook.kind,
                "attempts": webhook.attempts,
                "sent": time.time(),
            }
        )

    def answered(self, number: int, status: int, job_id: str | None) -> None:
        self._write({"n": number, "answered": time.time(), "status": status, "job": job_id})

    def failed(self, number: int, error: str) -> None:
        """Record that no answer will arrive."""
        self._write({"n": number, "error": error})

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(orjson.dumps(line) + b"\n")


def read_ledger(path: Path) -> list[Offered]:
    """Read what was offered, in the order of sending. A torn last line is skipped.

    Raises NoLedgerError.
    """
    try:
        with path.open("rb") as file:
            lines = file.read().split(b"\n")
    except OSError as exc:
        raise NoLedgerError(f"The ledger {path} cannot be read: {exc.strerror}.") from exc
    # Whatever follows the last line break is incomplete.
    parsed = [_parse(path, line) for line in lines[:-1]]
    if not parsed or parsed[0].get("ledger") != _VERSION:
        raise NoLedgerError(f"The file {path} is not a ledger that this version can read.")
    return offers_of(parsed[1:])


def offers_of(lines: Iterable[Mapping[str, Any]]) -> list[Offered]:
    """Put the two lines of each request together."""
    offers: dict[int, Offered] = {}
    for line in lines:
        number = line["n"]
        if "sent" in line:
            offers[number] = Offered(
                number=number,
                event=line["event"],
                is_written=line["type"] == Kind.WRITTEN,
                attempts=line["attempts"],
                sent_at=line["sent"],
            )
        elif "error" in line:
            offers[number] = replace(offers[number], error=line["error"])
        else:
            offers[number] = replace(
                offers[number],
                answered_at=line["answered"],
                status=line["status"],
                job_id=line["job"],
            )
    return list(offers.values())


def _parse(path: Path, line: bytes) -> Mapping[str, Any]:
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise NoLedgerError(f"The file {path} has a line that is not JSON.") from exc
    if not isinstance(parsed, dict):
        raise NoLedgerError(f"The file {path} has a line that is not a JSON object.")
    return parsed
