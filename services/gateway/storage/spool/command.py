"""`ringback spool`: list and salvage damaged files and rows of a gateway's spool."""

import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from ringback.cli.terminal import BadInputError, CommandError, out
from ringback.cli.views.formatting import duration, plural
from ringback.local.console import printable
from ringback.runtime.postgres.queries import load
from services.gateway.storage.spool.database import PACKAGE, FolderInUseError, FolderLock
from services.gateway.storage.spool.file import FILE_NAME, SpoolFile
from services.gateway.storage.spool.quarantine import (
    KeptFile,
    State,
    kept_files,
    mark_salvaged,
    remove,
)
from services.gateway.storage.spool.salvage import Salvage

spool = App(
    name="spool",
    help="List a gateway's spool and salvage its damaged files. Run it on the machine, or in the "
    "pod, that has the spool's disk.",
    help_epilogue="",
)

_Folder = Annotated[Path | None, Parameter(name="--folder")]


@spool.command(name="list")
def _list(*, folder: _Folder = None) -> None:
    """Count waiting webhooks, and list damaged rows and replaced files.

    Parameters
    ----------
    folder
        The folder of the spool (default: RINGBACK_SPOOL_DIR, or the folder of `ringback up`).
    """
    path = _spool_in(folder)
    _print_waiting(path)
    for kept in kept_files(path):
        salvage = Salvage(kept.path)
        for _ in salvage.chunks():
            pass
        found = f"{plural(salvage.readable, 'webhook')} can be read"
        if salvage.unreadable:
            found += f", {salvage.unreadable:,} more in part"
        _print(f"{kept.path.name}  {kept.state}  {kept.size_bytes:,} bytes  {found}")


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


def _print_waiting(path: Path) -> None:
    if not path.exists():
        _print(f"There is no spool at {path}.")
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.text_factory = bytes
            [(count, size_bytes, _)] = database.execute(load(PACKAGE, "totals.sql"))
            [(_, oldest_s, _)] = database.execute(load(PACKAGE, "extent.sql"))
            damaged = database.execute(load(PACKAGE, "list_damaged.sql")).fetchall()
    except sqlite3.Error as exc:
        _print(f"Cannot read the file: {exc}. `ringback spool salvage` replaces a damaged file.")
        return
    age = f", the oldest for {duration(timedelta(seconds=time() - oldest_s))}" if count else ""
    _print(f"{plural(count, 'webhook')} of {size_bytes:,} bytes wait{age}.")
    for sequence, reason, job_id, event_type, size, spooled_at_s in damaged:
        values = (job_id, event_type, f"{size} bytes", spooled_at_s, reason)
        _print(f"damaged row {sequence}  " + "  ".join(_text(value) for value in values))


def _text(value: object) -> str:
    return printable(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def _print(line: str) -> None:
    out().print(Text(line), soft_wrap=True)
