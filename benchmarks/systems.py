"""The systems that are compared: how each starts, where its webhooks wait, and what its log has."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM
from typing import Protocol

from benchmarks.bench_stack import BenchStack, until_it_answers
from benchmarks.fill_log import fill
from benchmarks.process_usage import PARTS
from benchmarks.wrk import CellError
from ringback.contract.identity import new_job_id
from ringback.contract.topology import WORK_QUEUE
from ringback.local.child import Child
from ringback.local.ports import ServicePorts, free_ports, named_ports
from ringback.local.stack_service import (
    RunningService,
    StackContext,
    service_environment,
    service_specs,
    urls_by_role,
)

_ROOT = Path(__file__).parents[1]
_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 30.0
_JWT_SECRET = "a secret of a benchmark and of nobody else"  # ruff: ignore[hardcoded-password-string]  # of a service on loopback
_FIRST_ID = "00000000-0000-0000-0000-000000000000"
_ONE_QUEUE = {"RINGBACK_ORG_RATE_PER_S": "0"}
"""All load comes from one org, and only one queue is counted and emptied."""

_COUNT_OF_RINGBACK = """
    SELECT count(*) FROM webhook_delivery_log WHERE status = 'completed' AND id >= $1::uuid
"""
_FINISHED_OF_RINGBACK = """
    SELECT log.call_id, extract(epoch FROM pg_xact_commit_timestamp(log.xmin))::float8 AS at,
           (SELECT count(*) FROM webhook_delivery_attempts WHERE delivery_id = log.id) AS attempts
    FROM webhook_delivery_log AS log WHERE log.status = 'completed' AND log.id >= $1::uuid
"""
_FINISHED_OF_PEERS = """
    SELECT event_data #>> '{message,call,id}' AS call_id, sum(attempts) AS attempts,
           max(extract(epoch FROM pg_xact_commit_timestamp(xmin)))::float8 AS at
    FROM log WHERE status = 'completed' GROUP BY 1
"""
_TABLES_OF_RINGBACK = """
    SELECT string_agg(relname, ', ') FROM pg_class
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
      AND relname ~ '^(webhook_(delivery|gateway|stats|inbox|retries)|voice_calls)'
"""


_RETRIES_OF_RINGBACK = """
    SELECT 1000 * extract(epoch FROM later.started_at - earlier.ended_at)::float8
           - 2000 * 2 ^ (earlier.attempt - 1)
    FROM webhook_delivery_attempts AS earlier
    JOIN webhook_delivery_attempts AS later USING (delivery_id)
    WHERE later.attempt = earlier.attempt + 1
"""
_RETRIES_OF_PEERS = """
    SELECT 1000 * extract(epoch FROM later.at - earlier.at)::float8
           - 2000 * 2 ^ (earlier.number - 1)
    FROM numbered AS earlier JOIN numbered AS later USING (call_id)
    WHERE later.number = earlier.number + 1
"""


class Store(Protocol):
    """Where the webhooks of a system wait to be processed."""

    async def count(self) -> int | None:
        """Count them; None where nothing is stored."""

    async def clear(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Finished:
    """When each webhook was committed as completed, and its attempts, by the call's id."""

    at: Mapping[str, float]
    attempts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Peer:
    """A system of other people: an HTTP server and a worker that writes the table `log`.

    In the commands, {} becomes the port of the server, and the worker's number of handlers. Both
    find the broker and the database in the environment.
    """

    stack: BenchStack
    name: str
    store: Store
    accept: Sequence[str]
    work: Sequence[str] | None
    env: Mapping[str, str]
    parts: Mapping[str, str]
    """Maps a word of each process's command line to its part."""

    @asynccontextmanager
    async def accepting(self) -> AsyncGenerator[str, None]:
        """Run the HTTP server alone, and yield its URL."""
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}/"
        async with self._process("accept", self.accept, port) as child:
            await until_it_answers(url, child)
            yield url

    @asynccontextmanager
    async def working(self, handlers: int, *, failing: bool = False) -> AsyncGenerator[None, None]:
        """Run the worker with `handlers` at once. They always know which calls fail."""
        del failing
        if self.work is None:
            raise CellError("It has no worker.")
        async with self._process("work", self.work, handlers):
            yield

    @asynccontextmanager
    async def others(self) -> AsyncGenerator[None]:
        """Run what else belongs to the system; here nothing."""
        yield

    async def clear(self) -> None:
        """Forget all webhooks."""
        await self.store.clear()
        await self.stack.sql("TRUNCATE log, attempts")

    async def count_finished(self) -> int:
        [row] = await self.stack.sql("SELECT count(*) FROM log WHERE status = 'completed'")
        return int(row[0])

    async def finished(self) -> Finished:
        return await _finished(self.stack, _FINISHED_OF_PEERS)

    async def retries_late_ms(self) -> list[float]:
        """How much later than planned each retry started."""
        return [row[0] for row in await self.stack.sql(_RETRIES_OF_PEERS)]

    @asynccontextmanager
    async def _process(
        self, part: str, command: Sequence[str], value: int
    ) -> AsyncGenerator[Child]:
        child = Child.spawn(
            f"{self.name}-{part}",
            [word.replace("{}", str(value)) for word in command],
            env={
                **os.environ,
                "AMQP_URL": self.stack.amqp_url,
                "DATABASE_URL": self.stack.database_url,
                **self.env,
            },
            log_path=self.stack.folder / f"{self.name}-{part}.log",
            cwd=_ROOT,
        )
        try:
            yield child
        finally:
            await child.stop(SIGTERM, within_s=_STOP_WITHIN_S)


@dataclass(slots=True)
class Ringback:
    """Our gateway and processor, with the environment that `make run` gives them."""

    stack: BenchStack
    store: Store
    env: Mapping[str, str]
    name: str = "ringback"
    parts: Mapping[str, str] = field(default_factory=lambda: PARTS)
    since: str = _FIRST_ID
    """The first id that counts."""

    @asynccontextmanager
    async def accepting(self) -> AsyncGenerator[str, None]:
        """Run the gateway alone, and yield its URL."""
        async with self.service("gateway") as ports:
            yield f"http://127.0.0.1:{ports.gateway}/api/webhooks/vapi"

    @asynccontextmanager
    async def working(self, handlers: int, *, failing: bool = False) -> AsyncGenerator[None, None]:
        """Run the processor with `handlers` at once."""
        env = {"RINGBACK_PREFETCH": str(handlers)} if handlers != 5 else {}
        if failing:
            env["RINGBACK_HANDLERS"] = "benchmarks.peers.ringback.handlers"
        async with self.service("processor", env):
            yield

    @asynccontextmanager
    async def others(self) -> AsyncGenerator[None]:
        """Run the metrics service."""
        async with self.service("metrics"):
            yield

    async def clear(self) -> None:
        """Forget all webhooks."""
        await self.store.clear()
        self.since = _FIRST_ID
        [row] = await self.stack.sql(_TABLES_OF_RINGBACK)
        await self.stack.sql(f"TRUNCATE {row[0]} CASCADE")

    async def fill(self, rows: int) -> None:
        """Put so many webhooks of the last month into the log. They are not counted."""
        await fill(self.stack.database_url, rows, lambda _: None)
        self.since = str(new_job_id())

    async def count_finished(self) -> int:
        [row] = await self.stack.sql(_COUNT_OF_RINGBACK, self.since)
        return int(row[0])

    async def finished(self) -> Finished:
        return await _finished(self.stack, _FINISHED_OF_RINGBACK, self.since)

    async def retries_late_ms(self) -> list[float]:
        """How much later than planned each retry started."""
        return [row[0] for row in await self.stack.sql(_RETRIES_OF_RINGBACK)]

    @asynccontextmanager
    async def service(
        self, name: str, env: Mapping[str, str] | None = None
    ) -> AsyncGenerator[ServicePorts]:
        state = self.stack.folder / "ringback"
        state.mkdir(exist_ok=True)
        names = named_ports(ServicePorts())
        ports = ServicePorts(**dict(zip(names, free_ports(len(names)), strict=True)))
        others = {k: v for k, v in os.environ.items() if not k.startswith(("RINGBACK_", "OTEL_"))}
        context = StackContext(
            environ=others | _ONE_QUEUE | dict(self.env) | dict(env or {}),
            amqp_url=self.stack.amqp_url,
            database_urls=urls_by_role(self.stack.database_url),
            ports=ports,
            jwt_secret=_JWT_SECRET,
            state_dir=state,
            management_url=self.stack.management_url,
        )
        [spec] = [one for one in service_specs(ports) if one.name == name]
        service = RunningService.spawn(
            spec, env=service_environment(name, context), log_dir=state / "logs"
        )
        try:
            await service.ready(within_s=_READY_WITHIN_S)
            yield ports
        finally:
            await service.stop()


System = Peer | Ringback


@dataclass(frozen=True, slots=True)
class AmqpQueue:
    stack: BenchStack
    name: str = WORK_QUEUE

    async def count(self) -> int:
        return await self.stack.depth(self.name)

    async def clear(self) -> None:
        await self.stack.purge(self.name)


@dataclass(frozen=True, slots=True)
class RedisList:
    """The waiting list of BullMQ, in a Redis of its own."""

    port: int

    async def count(self) -> int:
        return int(await self._command("LLEN", "bull:webhooks:wait"))

    async def clear(self) -> None:
        await self._command("FLUSHALL")

    async def _command(self, *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *("redis-cli", "-p", str(self.port), *words), stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        return printed.decode().strip()


@dataclass(frozen=True, slots=True)
class JobsTable:
    """The jobs of Procrastinate, which its server creates when it starts for the first time."""

    stack: BenchStack

    async def count(self) -> int:
        [row] = await self.stack.sql(
            "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'"
        )
        return int(row[0])

    async def clear(self) -> None:
        [row] = await self.stack.sql("SELECT to_regclass('procrastinate_jobs') IS NOT NULL")
        if row[0]:
            await self.stack.sql("TRUNCATE procrastinate_jobs CASCADE")


class Nothing:
    """The store of a server that stores nothing."""

    async def count(self) -> None:
        return None

    async def clear(self) -> None:
        return None


async def _finished(stack: BenchStack, query: str, *arguments: object) -> Finished:
    rows = await stack.sql(query, *arguments)
    return Finished(
        {row["call_id"]: row["at"] for row in rows},
        {row["call_id"]: int(row["attempts"]) for row in rows},
    )
