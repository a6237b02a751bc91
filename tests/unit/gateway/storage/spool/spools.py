"""Spools in a folder of a test, with instruments that record what they are told."""

from dataclasses import dataclass, field
from pathlib import Path

from ringback.services.gateway.storage.spool.file import FILE_NAME, SpoolFile
from ringback.services.gateway.storage.spool.quarantine import State
from ringback.services.gateway.storage.spool.spool import Spool, SpoolBounds

MIB = 1024 * 1024


@dataclass
class FakeInstruments:
    opened: list[int] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    salvaged: list[int] = field(default_factory=list)

    def spool_opened(self, *, path: str, waiting: int) -> None:
        assert path.endswith(FILE_NAME)
        self.opened.append(waiting)

    def file_quarantined(self, *, path: str, missing: int) -> None:
        assert missing >= 0
        self.quarantined.append(path)

    def row_quarantined(self, *, sequence: int, reason: str) -> None:
        assert sequence > 0
        self.rows.append(reason)

    def spool_failed(self, error: BaseException) -> None:
        self.failures.append(type(error).__name__)

    def spool_salvaged(self, *, path: str, count: int, unreadable: int) -> None:
        assert f".{State.SALVAGED}-" in path
        assert unreadable >= 0
        self.salvaged.append(count)


def spool_in(
    folder: Path,
    instruments: FakeInstruments | None = None,
    *,
    max_bytes: int = 64 * MIB,
    free_bytes: int = 0,
    queue_bytes: int = 64 * MIB,
    timeout_s: float = 60.0,
    file: SpoolFile | None = None,
) -> Spool:
    return Spool(
        folder,
        SpoolBounds(
            max_bytes=max_bytes,
            free_bytes=free_bytes,
            queue_bytes=queue_bytes,
            timeout_s=timeout_s,
        ),
        instruments or FakeInstruments(),
        open_file=lambda path: file or SpoolFile(path),
    )
