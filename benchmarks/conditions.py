"""The conditions of a run: the machine, the disk, the versions and the load."""

import asyncio
import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.bench_stack import BenchStack
from ringback.local.child import run_command

_SYNCS = 50
_PEERS = Path(__file__).parent / "peers"


def machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"


def fsync_ms(folder: Path) -> float:
    """The median time to write and sync 4 kB, as a commit does."""
    times = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


async def conditions(stack: BenchStack) -> dict[str, str]:
    """Read all of them."""
    [row] = await stack.sql("SHOW server_version")
    [buffers] = await stack.sql("SHOW shared_buffers")
    return await asyncio.to_thread(_conditions, stack.folder) | {
        "PostgreSQL": f"{row[0]}, fsync on, shared_buffers {buffers[0]}, track_commit_timestamp on",
    }


def _conditions(folder: Path) -> dict[str, str]:
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    package = (_PEERS / "replaced" / "package.json").read_text(encoding="utf-8")
    npm = json.loads(package)["dependencies"]
    libraries = ("aiohttp", "aio-pika", "asyncpg", "uvloop")
    return {
        "CPU": f"{os.cpu_count()} x {model[0] if model else platform.machine()}",
        "fsync of 4 kB, median": f"{fsync_ms(folder):.2f} ms",
        "load average at the start": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in libraries),
        "RabbitMQ": _printed("dpkg-query", "-W", "-f=${Version}", "rabbitmq-server"),
        "packages of npm": ", ".join(f"{name} {number}" for name, number in npm.items()),
        "packages of PyPI": ", ".join(
            line.split()[0].replace("==", " ")
            for line in (_PEERS / "requirements.txt").read_text(encoding="utf-8").splitlines()
            if line.startswith(
                ("celery==", "procrastinate==", "flask==", "gunicorn==", "psycopg==")
            )
        ),
        "Redis": _printed("redis-server", "--version"),
        "wrk": _printed("dpkg-query", "-W", "-f=${Version}", "wrk"),
    }


def _printed(*command: str) -> str:
    done = run_command(command, within_s=10)
    return done.output.strip() if done.exit_code == 0 else "not found"
