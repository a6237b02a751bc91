"""The spool's file is damaged while webhooks wait in it.

Destroyed bytes cannot be recovered, so each of these faults destroys only what no webhook of the
load depends on: a row that was copied before, the first page, or the head of the -wal.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp

from chaos.fault import Fault, Part, Strike
from chaos.stage import Stage
from ringback.local.ports import LOOPBACK
from ringback.runtime.postgres.queries import load
from ringback.services.gateway.storage.spool.database import FolderInUseError, FolderLock
from ringback.services.gateway.storage.spool.file import FILE_NAME

_FILLS_S = 3.0
_NOTICED_WITHIN_S = 30.0
_POLL_S = 0.1
_RUBBISH = b"\xff"
_PAGE_BYTES = 4096
_WAL_HEAD_BYTES = 32
_HOLD_S = 2.0


def _damaged(kind: str, damage: Callable[[Path], None]) -> Strike:
    """Fill the spool with webhooks, damage it, and let the broker accept them again."""

    @asynccontextmanager
    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        before = await _damaged_count(stage, kind)
        stage.broker_link.refuse()
        try:
            await asyncio.sleep(_FILLS_S)
            async with _without_gateway(stage):
                damage(stage.spool_disk.folder / FILE_NAME)
            await stage.gateway.ready(within_s=_NOTICED_WITHIN_S)
            yield
        finally:
            stage.broker_link.accept()

        async def is_counted() -> bool:
            return await _damaged_count(stage, kind) > before

        otherwise = f"The damaged {kind} was not counted."
        await stage.until(is_counted, within_s=_NOTICED_WITHIN_S, otherwise=otherwise)

    return strike


@asynccontextmanager
async def _without_gateway(stage: Stage) -> AsyncGenerator[None, None]:
    """Kill the gateway, and prevent its restart by locking its folder."""
    lock = FolderLock(stage.spool_disk.folder)
    while True:
        await stage.gateway.kill()
        try:
            lock.acquire()
            break
        except FolderInUseError:
            await asyncio.sleep(_POLL_S)
    try:
        yield
    finally:
        lock.release()


def _damage_row(path: Path) -> None:
    """Damage the first row of the queue, after its webhook was copied to the end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(load("chaos", "copy_spool_row.sql"))
        connection.execute(load("chaos", "damage_spool_row.sql"))


def _damage_first_page(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # Otherwise its newest version is in the -wal, and the one in the file is never read.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    _overwrite(path, _PAGE_BYTES)


def _damage_wal(path: Path) -> None:
    _overwrite(path.with_name(f"{path.name}-wal"), _WAL_HEAD_BYTES)


def _overwrite(path: Path, count: int) -> None:
    with path.open("r+b") as file:
        file.write(_RUBBISH * count)
        file.flush()
        os.fsync(file.fileno())


async def _damaged_count(stage: Stage, kind: str) -> float:
    """Ask the gateway how many damaged rows or files it keeps."""
    url = f"http://{LOOPBACK}:{stage.gateway.spec.observability_port}/metrics"
    try:
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            lines = (await answer.text()).splitlines()
    except (aiohttp.ClientError, TimeoutError):
        return 0.0
    series = f'webhook_spool_damaged{{kind="{kind}"}} '
    return sum(float(line.removeprefix(series)) for line in lines if line.startswith(series))


def _fault(name: str, sentence: str, strike: Strike) -> Fault:
    return Fault(
        name=name,
        sentence=sentence,
        part=Part.GATEWAY,
        strike=strike,
        hold_s=_HOLD_S,
        may_not_answer=True,
        is_mixed=False,
    )


FAULTS = (
    _fault(
        "spool-row-damaged",
        "A row at the front of the spool is not what was written.",
        _damaged("row", _damage_row),
    ),
    _fault(
        "spool-page-damaged",
        "The gateway is killed, and the first page of its spool's file is destroyed.",
        _damaged("file", _damage_first_page),
    ),
    _fault(
        "spool-wal-damaged",
        "The gateway is killed, and SQLite can read nothing of its spool's -wal.",
        _damaged("file", _damage_wal),
    ),
)
