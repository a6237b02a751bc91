"""What a private PostgreSQL promises."""

import os
import shutil
from pathlib import Path

import asyncpg
import pytest

from ringback.local.child import LocalStackError
from ringback.local.database import PrivateDatabase
from ringback.local.ports import MAX_SOCKET_DIR, socket_path
from tests.support.eventually import eventually
from tests.support.processes import alive, descendants
from tests.support.session_nodes import new_database


async def _write(database: PrivateDatabase) -> None:
    connection = await asyncpg.connect(database.url())
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (i int)")
    await connection.execute("INSERT INTO kept VALUES (1)")
    await connection.close()


async def _count(database: PrivateDatabase) -> int:
    connection = await asyncpg.connect(database.url())
    count = await connection.fetchval("SELECT count(*) FROM kept")
    await connection.close()
    return int(count)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_committed_rows_survive(own_database: PrivateDatabase, how: str) -> None:
    await _write(own_database)
    client = await asyncpg.connect(own_database.url())

    await getattr(own_database, how)()
    client.terminate()
    await own_database.start()

    assert await _count(own_database) == 1


async def test_a_kill_leaves_nothing_in_the_way(own_database: PrivateDatabase) -> None:
    """PostgreSQL's own processes end with it, although each has a session of its own.

    A lock file whose process id now belongs to another program is thrown away; while the server
    runs, a second one on the same data is refused in a sentence, whatever its port.
    """
    with pytest.raises(LocalStackError, match="already uses"):
        await new_database(own_database.data_dir).start()
    lock = own_database.data_dir / "cluster" / "postmaster.pid"
    words = lock.read_text(encoding="utf-8")
    workers = descendants(int(words.split()[0]))
    assert workers

    await own_database.kill()
    await eventually(lambda: not alive(workers), deadline_s=2)
    lock.write_text(words.replace(words.split()[0], str(os.getppid()), 1), encoding="utf-8")
    await own_database.start()

    assert own_database.exit_code is None


@pytest.mark.nodes
async def test_no_folder_is_an_obstacle(tmp_path: Path) -> None:
    """The path of the unix socket is in a list, and is short enough for the kernel."""
    database = new_database(tmp_path / ('a, "b" ü' + "d" * MAX_SOCKET_DIR))
    await database.start()
    try:
        await database.ensure_database("ringback")
        connection = await asyncpg.connect(database.url())
        is_superuser = await connection.fetchval("SHOW is_superuser")
        await connection.close()
    finally:
        await database.kill()
        shutil.rmtree(socket_path(database.data_dir))

    assert is_superuser == "on"
    assert not socket_path(database.data_dir).is_relative_to(tmp_path)
