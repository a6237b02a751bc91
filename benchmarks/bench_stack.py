"""A broker, a database and the processes under test, for one run only."""

import asyncio
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import aiohttp
import asyncpg
import jwt
from aio_pika.exceptions import ChannelNotFoundEntity

from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.broker import PrivateBroker
from ringback.local.child import Child, LocalStackError
from ringback.local.database import PrivateDatabase
from ringback.local.database_files import administration
from ringback.local.ports import BrokerPorts, free_ports, named_ports
from ringback.runtime.amqp import topology
from ringback.runtime.postgres.migrate import migrate

_READY_WITHIN_S = 30.0
_STOP_WITHIN_S = 30.0
_STATEMENT_WITHIN_S = 300.0
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class MetricsService:
    """Where a running metrics service listens, and the secret of its tokens."""

    grpc_address: str
    rest_url: str
    secret: str

    def token(self, claims: Mapping[str, str]) -> str:
        """A token for a day."""
        standing = {"sub": "benchmark", "aud": "ringback", "exp": int(time.time()) + 86_400}
        return jwt.encode({**standing, **claims}, self.secret, algorithm="HS256")


@dataclass(frozen=True, slots=True)
class BenchStack:
    amqp_url: str
    database_url: str
    folder: Path
    management_url: str

    @asynccontextmanager
    async def process(
        self, *command: str, ready_url: str | None = None, **env: str
    ) -> AsyncGenerator[Child, None]:
        """Run `python -m <command>`, ready when `ready_url` answers, until the context is left."""
        child = Child.spawn(
            command[0],
            [sys.executable, "-m", *command],
            env={
                **os.environ,
                "RINGBACK_AMQP_URL": self.amqp_url,
                "RINGBACK_DATABASE_URL": self.database_url,
                **env,
            },
            log_path=self.folder / f"{command[0]}.log",
            cwd=_ROOT,
        )
        try:
            if ready_url is not None:
                await until_it_answers(ready_url, child)
            yield child
        finally:
            await child.stop(signal.SIGTERM, within_s=_STOP_WITHIN_S)

    @asynccontextmanager
    async def metrics(self, **env: str) -> AsyncGenerator[MetricsService, None]:
        """Run a metrics service with its own role, until the context is left."""
        grpc_port, rest_port, observability_port = free_ports(3)
        secret = secrets.token_hex(32)
        process = self.process(
            "ringback.services.metrics",
            ready_url=f"http://127.0.0.1:{observability_port}/readyz",
            RINGBACK_DATABASE_URL=f"{self.database_url}?role=ringback_metrics",
            RINGBACK_METRICS_HOST="127.0.0.1",
            RINGBACK_METRICS_GRPC_PORT=str(grpc_port),
            RINGBACK_METRICS_REST_PORT=str(rest_port),
            RINGBACK_METRICS_OBSERVABILITY_PORT=str(observability_port),
            RINGBACK_JWT_SECRET=secret,
            **env,
        )
        async with process:
            address = f"127.0.0.1:{grpc_port}"
            yield MetricsService(address, f"http://127.0.0.1:{rest_port}", secret)

    @asynccontextmanager
    async def gateway(self, **env: str) -> AsyncGenerator[tuple[Child, str], None]:
        """Run a gateway; give its process and the URL that accepts webhooks."""
        port, observability_port = free_ports(2)
        process = self.process(
            "ringback.services.gateway",
            ready_url=f"http://127.0.0.1:{observability_port}/readyz",
            RINGBACK_GATEWAY_HOST="127.0.0.1",
            RINGBACK_GATEWAY_PORT=str(port),
            RINGBACK_GATEWAY_OBSERVABILITY_PORT=str(observability_port),
            **env,
        )
        async with process as child:
            yield child, f"http://127.0.0.1:{port}/api/webhooks/vapi"

    async def depth(self, queue: str) -> int:
        """Count the messages of a queue."""
        async with await aio_pika.connect(self.amqp_url) as connection:
            channel = await connection.channel()
            found = await channel.declare_queue(queue, passive=True)
            return found.declaration_result.message_count or 0

    async def purge(self, queue: str) -> None:
        async with await aio_pika.connect(self.amqp_url) as connection:
            channel = await connection.channel()
            # One that is not declared yet is empty.
            with suppress(ChannelNotFoundEntity):
                await (await channel.get_queue(queue, ensure=False)).purge()

    async def script(self, file: Path) -> None:
        """Run a file of statements."""
        text = await asyncio.to_thread(file.read_text, encoding="utf-8")
        connection = await asyncpg.connect(self.database_url)
        await connection.execute(text)
        await connection.close()

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a statement in autocommit, without counting it, and return its rows."""
        connection = await asyncpg.connect(
            self.database_url,
            command_timeout=_STATEMENT_WITHIN_S,
            server_settings={"pg_stat_statements.track": "none"},
        )
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()


@asynccontextmanager
async def bench_stack(data: Path | None = None) -> AsyncGenerator[BenchStack, None]:
    """Start a private broker and database, migrated and declared, in a temporary folder.

    If `data` is given, the database is there instead, and stays after the run.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringback-bench-")))
        names = named_ports(BrokerPorts())
        sql, *others = free_ports(1 + len(names))
        ports = BrokerPorts(**dict(zip(names, others, strict=True)))
        broker = PrivateBroker(folder / "broker", ports)
        database = PrivateDatabase(data or folder / "database", sql, superuser_over_tcp=True)
        await asyncio.gather(broker.start(), database.start())
        stack.push_async_callback(broker.stop)
        stack.push_async_callback(database.stop)
        async with administration(database.data_dir, sql) as connection:
            # It gives the moment at which a webhook was committed, the same way for all systems.
            await connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
            await connection.execute(
                "ALTER SYSTEM SET shared_preload_libraries = pg_stat_statements"
            )
        await database.restart()
        await database.ensure_database("ringback")
        await migrate(database.url())
        await topology.apply(broker.amqp_url(), RetrySchedule.parse("2s,4s,8s"))
        yield BenchStack(broker.amqp_url(), database.url(), folder, broker.management_url)


async def until_it_answers(url: str, child: Child) -> None:
    """Wait until a server answers at all; LocalStackError if it ends before."""
    async with asyncio.timeout(_READY_WITHIN_S), aiohttp.ClientSession() as session:
        while True:
            if child.exit_code is not None:
                raise LocalStackError(
                    f"{child.name} exited with status {child.exit_code} before it was ready."
                )
            try:
                async with session.get(url) as answer:
                    # The plain server has no health check; it is ready when it answers at all.
                    if answer.status in {200, 404, 405}:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)
