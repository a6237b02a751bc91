"""`ringback spool`: list and salvage damaged files and rows of a gateway's spool."""

import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Annotated, Any

import orjson
from cyclopts import App, Parameter
from rich.text import Text

from ringback.cli.terminal import BadInputError, CommandError, JsonFlag, out, write_json
from ringback.cli.views.formatting import duration, plural
from ringback.local.console import printable
from ringback.runtime.postgres.queries import load
from ringback.services.gateway.storage.spool.database import PACKAGE, FolderInUseError, FolderLock
from ringback.services.gateway.storage.spool.file import FILE_NAME, SpoolFile
from ringback.services.gateway.storage.spool.quarantine import (
    KeptFile,
    State,
    kept_files,
    mark_salvaged,
    remove,
)
from ringback.services.gateway.storage.spool.salvage import Salvage

spool = App(
    name="spool",
    help="List a gateway's spool and salvage its damaged files. Run it on the machine, or in the "
    "pod, that has the spool's disk.",
    help_epilogue="",
)

_Folder = Annotated[Path | None, Parameter(name="--folder")]


@spool.command(name="list")
def _list(*, json: JsonFlag = False, folder: _Folder = None) -> None:
    """Count waiting webhooks, and list damaged rows and replaced files.

    Parameters
    ----------
    json
        Print a JSON document.
    folder
        The folder of the spool (default: RINGBACK_SPOOL_DIR, or the folder of `ringback up`).
    """
    path = _spool_in(folder)
    kept = [(one, _salvaged(one)) for one in kept_files(path)]
    if json:
        write_json(orjson.dumps(_document(path, kept)))
        return
    _print_waiting(path)
    for file, salvage in kept:
        found = f"{plural(salvage.readable, 'webhook')} can be read"
        if salvage.unreadable:
            found += f", {salvage.unreadable:,} more in part"
        _print(f"{file.path.name}  {file.state}  {file.size_bytes:,} bytes  {found}")


def _salvaged(file: KeptFile) -> Salvage:
    """Read a file to its end, to count its webhooks."""
    found = Salvage(file.path)
    for _ in found.chunks():
        pass
    return found


@spool.command
def salvage(*names: str, folder: _Folder = None) -> None:
    """Restore the readable webhooks of damaged files to the spool, which publishes them.

    A gateway does this automatically with a file that it replaces. Each webhook keeps its job id,
    so one that was published before is not processed again. The files are kept.

    Parameters
    ----------
    names
        Names from `ringback spool list`, or paths of other spool files, such as one from a backup
        (default: all files that were not salvaged yet).
    folder
        The folder of the spool (default: RINGBACK_SPOOL_DIR, or the folder of `ringback up`).
    """
    path = _spool_in(folder)
    with _opened(path) as file:
        kept = {one.path: one for one in kept_files(path)}
        chosen = [_named(path, name) for name in names] or [
            one.path for one in kept.values() if one.state is not State.SALVAGED
        ]
        for source in chosen:
            found = Salvage(source)
            count = sum(file.restore(chunk) for chunk in found.chunks())
            if source in kept:
                mark_salvaged(source)
            here = found.readable - count
            _print(
                f"{source.name}: {plural(count, 'webhook')} restored, {here:,} already there, "
                f"{found.unreadable:,} unreadable."
            )
    if not chosen:
        _print("Nothing to salvage.")


@spool.command
def discard(*names: str, folder: _Folder = None) -> None:
    """Permanently delete damaged rows (by number) and replaced files (by name).

    Parameters
    ----------
    names
        From `ringback spool list`.
    folder
        The folder of the spool (default: RINGBACK_SPOOL_DIR, or the folder of `ringback up`).
    """
    path = _spool_in(folder)
    kept = {one.path.name: one for one in kept_files(path)}
    for name in names:
        if name.isdecimal():
            _discard_row(path, int(name))
        else:
            _discard_file(kept.get(name), name)
        _print(f"Deleted {name}.")


def _discard_row(path: Path, sequence: int) -> None:
    with _opened(path) as file:
        if not file.discard(sequence):
            raise BadInputError(f"There is no damaged row {sequence}. See `ringback spool list`.")


def _discard_file(kept: KeptFile | None, name: str) -> None:
    if kept is None:
        raise BadInputError(f"There is no replaced file {name!r}. See `ringback spool list`.")
    if kept.state is State.QUARANTINED:
        raise CommandError(f"{name} was not salvaged yet. Run `ringback spool salvage` first.")
    remove(kept.path)


def _spool_in(folder: Path | None) -> Path:
    chosen = folder or Path(os.environ.get("RINGBACK_SPOOL_DIR") or ".ringback/spool")
    if not chosen.is_dir():
        raise BadInputError(f"There is no folder {chosen}. Set --folder or RINGBACK_SPOOL_DIR.")
    return chosen / FILE_NAME


def _named(spool_path: Path, name: str) -> Path:
    for path in (spool_path.parent / name, Path(name)):
        if path.exists() or path.with_name(f"{path.name}-wal").exists():
            return path
    raise BadInputError(f"There is no file {name}.")


@contextmanager
def _opened(path: Path) -> Generator[SpoolFile, None, None]:
    """Open the spool. A damaged file is replaced, unless a gateway is using it."""
    lock, file = FolderLock(path.parent), SpoolFile(path)
    try:
        try:
            lock.acquire()
            file.open()
        except FolderInUseError:
            file.open_shared()
        yield file
    except sqlite3.Error as exc:
        raise CommandError(f"Cannot use the spool {path}: {exc}.") from exc
    finally:
        file.close()
        lock.release()


@dataclass(frozen=True, slots=True)
class _Waiting:
    count: int
    size_bytes: int
    oldest_s: float | None
    """The age of the oldest."""
    damaged: list[tuple[Any, ...]]


def _read_waiting(path: Path) -> _Waiting:
    """What waits in a spool, without changing it. Raises CommandError."""
    if not path.exists():
        raise CommandError(f"There is no spool at {path}.")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.text_factory = bytes
            [(count, size_bytes, _)] = database.execute(load(PACKAGE, "totals.sql"))
            [(_, oldest_s, _)] = database.execute(load(PACKAGE, "extent.sql"))
            damaged = database.execute(load(PACKAGE, "list_damaged.sql")).fetchall()
    except sqlite3.Error as exc:
        raise CommandError(
            f"Cannot read the file: {exc}. `ringback spool salvage` replaces a damaged file."
        ) from exc
    return _Waiting(count, size_bytes, time() - oldest_s if count else None, damaged)


def _print_waiting(path: Path) -> None:
    try:
        found = _read_waiting(path)
    except CommandError as exc:
        _print(str(exc))
        return
    age = ""
    if found.oldest_s is not None:
        age = f", the oldest for {duration(timedelta(seconds=found.oldest_s))}"
    _print(f"{plural(found.count, 'webhook')} of {found.size_bytes:,} bytes wait{age}.")
    for sequence, reason, job_id, event_type, size, spooled_at_s in found.damaged:
        values = (job_id, event_type, f"{size} bytes", spooled_at_s, reason)
        _print(f"damaged row {sequence}  " + "  ".join(_text(value) for value in values))


def _document(path: Path, kept: list[tuple[KeptFile, Salvage]]) -> dict[str, Any]:
    """The same as JSON values. What could not be read is null, with the cause in `errors`."""
    errors = []
    found = None
    try:
        found = _read_waiting(path)
    except CommandError as exc:
        errors.append(str(exc))
    return {
        "waiting": found
        and {"count": found.count, "bytes": found.size_bytes, "oldestS": found.oldest_s},
        "damagedRows": found
        and [
            {
                "row": sequence,
                "reason": _text(reason),
                "jobId": _text(job_id),
                "eventType": _text(event_type),
                "bytes": size,
            }
            for sequence, reason, job_id, event_type, size, _ in found.damaged
        ],
        "files": [
            {
                "name": file.path.name,
                "state": file.state,
                "bytes": file.size_bytes,
                "readable": salvage.readable,
                "readableInPart": salvage.unreadable,
            }
            for file, salvage in kept
        ],
        "errors": errors,
    }


def _text(value: object) -> str:
    return printable(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def _print(line: str) -> None:
    out().print(Text(line), soft_wrap=True)
