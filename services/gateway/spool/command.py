"""`ringback spool`: what a gateway's spool keeps for a person, and how to get it back."""

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

from ringback.cli.failure import BadInputError, CommandError
from ringback.cli.terminal import out
from ringback.cli.words import duration, plural
from ringback.local.console import printable
from ringback.runtime.queries import load
from services.gateway.spool.folder_lock import FolderInUseError, FolderLock
from services.gateway.spool.quarantine import (
    KeptFile,
    State,
    kept_files,
    mark_salvaged,
    remove,
)
from services.gateway.spool.salvage import Salvage
from services.gateway.spool.spool import FILE_NAME
from services.gateway.spool.spool_database import PACKAGE
from services.gateway.spool.spool_file import SpoolFile

spool = App(
    name="spool",
    help="Look at the spool of a gateway, on the machine or in the pod that has its disk; bring "
    "back what can be read of damaged files.",
    help_epilogue="",
)

_Folder = Annotated[Path | None, Parameter(name="--folder")]


@spool.command(name="list")
def _list(*, folder: _Folder = None) -> None:
    """Count what waits, and list what is damaged: rows, and files that were replaced.

    Parameters
    ----------
    folder
        The folder of the spool; RINGBACK_SPOOL_DIR, or that of `ringback up`, unless given.
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
    """Bring what can be read of damaged files back into the spool, from where it is published.

    A gateway does this by itself with a file that it replaces. Each webhook keeps its job id, so
    one that was published before is not processed again. The files stay.

    Parameters
    ----------
    names
        Names from `ringback spool list`, or paths of other spool files such as one from a backup.
        All that were not salvaged yet, unless given.
    folder
        The folder of the spool; RINGBACK_SPOOL_DIR, or that of `ringback up`, unless given.
    """
    path = _spool_in(folder)
    with _opened(path) as file:
        kept = {one.path: one for one in kept_files(path)}
        chosen = [_named(path, name) for name in names] or [
            one.path for one in kept.values() if one.state is not State.SALVAGED
        ]
        for source in chosen:
            found = Salvage(source)
            count = sum(file.bring_back(chunk) for chunk in found.chunks())
            if source in kept:
                mark_salvaged(source)
            here = found.readable - count
            _print(
                f"{source.name}: {plural(count, 'webhook')} brought back, {here:,} were here, "
                f"{found.unreadable:,} cannot be read."
            )
    if not chosen:
        _print("There is nothing to salvage.")


@spool.command
def discard(*names: str, folder: _Folder = None) -> None:
    """Delete damaged rows, by their numbers, and replaced files, by their names, for good.

    Parameters
    ----------
    names
        From `ringback spool list`.
    folder
        The folder of the spool; RINGBACK_SPOOL_DIR, or that of `ringback up`, unless given.
    """
    path = _spool_in(folder)
    kept = {one.path.name: one for one in kept_files(path)}
    for name in names:
        if name.isdecimal():
            _discard_row(path, int(name))
        else:
            _discard_file(kept.get(name), name)
        _print(f"{name} is deleted.")


def _discard_row(path: Path, place: int) -> None:
    with _opened(path) as file:
        if not file.discard(place):
            raise BadInputError(f"There is no damaged row {place}.")


def _discard_file(kept: KeptFile | None, name: str) -> None:
    if kept is None:
        raise BadInputError(f"There is no file {name!r} that was replaced.")
    if kept.state is State.QUARANTINED:
        raise CommandError(f"{name} was not salvaged yet. `ringback spool salvage` does it.")
    remove(kept.path)


def _spool_in(folder: Path | None) -> Path:
    chosen = folder or Path(os.environ.get("RINGBACK_SPOOL_DIR") or ".ringback/spool")
    if not chosen.is_dir():
        raise BadInputError(f"There is no folder {chosen} (--folder, RINGBACK_SPOOL_DIR).")
    return chosen / FILE_NAME


def _named(spool_path: Path, name: str) -> Path:
    for path in (spool_path.parent / name, Path(name)):
        if path.exists() or path.with_name(f"{path.name}-wal").exists():
            return path
    raise BadInputError(f"There is no file {name}.")


@contextmanager
def _opened(path: Path) -> Generator[SpoolFile, None, None]:
    """Open the spool. A damaged file is replaced, but not beside a gateway that runs."""
    lock, file = FolderLock(path.parent), SpoolFile(path)
    try:
        try:
            lock.take()
            file.open()
        except FolderInUseError:
            file.join()
        yield file
    except sqlite3.Error as exc:
        raise CommandError(f"The spool {path} cannot be used now: {exc}.") from exc
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
        _print(f"The file cannot be read: {exc}. `ringback spool salvage` replaces a damaged one.")
        return
    age = f", the oldest for {duration(timedelta(seconds=time() - oldest_s))}" if count else ""
    _print(f"{plural(count, 'webhook')} of {size_bytes:,} bytes wait{age}.")
    for place, reason, job_id, event_type, size, spooled_at_s in damaged:
        values = (job_id, event_type, f"{size} bytes", spooled_at_s, reason)
        _print(f"damaged row {place}  " + "  ".join(_text(value) for value in values))


def _text(value: object) -> str:
    return printable(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def _print(line: str) -> None:
    out().print(Text(line), soft_wrap=True)
