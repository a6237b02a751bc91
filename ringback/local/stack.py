"""Runs all of Ringback on one machine until this process ends."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.broker import PrivateBroker
from ringback.local.child import LocalStackError
from ringback.local.database import PrivateDatabase
from ringback.local.jwt_secret import has_key, local_console_secret, local_secret
from ringback.local.log_follow import Follower, shown_line
from ringback.local.ports import LocalPorts, named_ports, require_free
from ringback.local.prometheus import PrivatePrometheus
from ringback.local.reload import ChangeWatch, handler_files
from ringback.local.running_stack import claimed
from ringback.local.screen import Screen, addresses
from ringback.local.stack_service import (
    RunningService,
    ServiceSpec,
    StackContext,
    service_environment,
    service_specs,
)
from ringback.runtime.amqp import schedule_change, topology
from ringback.runtime.postgres import migrate
from ringback.runtime.process.settings import (
    ScheduleSettings,
    SettingsError,
    clean_environment,
    load,
    with_secret_files,
)

READY_S = 120.0
WATCH_S = 0.2
_SHARED_SECRETS = ("amqp_url", "database_url", "rabbitmq_management_url", "vapi_secret")
"""The secrets that the stack itself needs; only the services read the others."""


async def run_stack(
    state_dir: Path = Path(".ringback"),
    *,
    environ: Mapping[str, str] = os.environ,
    screen: Screen | None = None,
    services: Sequence[ServiceSpec] | None = None,
    reload: bool = True,
) -> None:
    """Start everything, print the addresses, and run until Ctrl-C, SIGTERM or SIGHUP.

    Raises LocalStackError if it cannot start or a part of it ends unexpectedly; everything is
    stopped by then. Each further Ctrl-C ends the current wait early. With `reload`, the processor
    restarts when a file of RINGBACK_HANDLERS changes.
    """
    # Logs, traces and data are for this user alone.
    os.umask(0o077)
    ports = LocalPorts.from_env(environ := clean_environment(environ))
    try:
        stack = _Stack(
            state_dir=state_dir,
            environ=with_secret_files(environ, _SHARED_SECRETS),
            ports=ports,
            specs=services or service_specs(ports.services),
            screen=screen or Screen(),
            reload=reload,
        )
        with claimed(state_dir, ports):
            await _until_stopped(stack.run())
    except SettingsError as exc:
        raise LocalStackError(f"Invalid settings: {exc}") from exc
    except (migrate.MigrationError, topology.TopologyError) as exc:
        raise LocalStackError(str(exc)) from exc
    except OSError as exc:
        raise LocalStackError(f"The local stack cannot run in {state_dir}: {exc}.") from exc


@dataclass(slots=True, kw_only=True)
class _Stack:
    state_dir: Path
    environ: Mapping[str, str]
    ports: LocalPorts
    specs: Sequence[ServiceSpec]
    screen: Screen
    reload: bool
    _broker: PrivateBroker | None = field(default=None, init=False)
    _database: PrivateDatabase | None = field(default=None, init=False)
    _prometheus: PrivatePrometheus | None = field(default=None, init=False)

    async def run(self) -> None:
        """Run until cancelled; what was started last is stopped first."""
        async with AsyncExitStack() as stopping:
            amqp_url, database_url = await self._nodes(stopping)
            await self._prepare(amqp_url, database_url)
            names = [spec.name for spec in self.specs]
            context = StackContext(
                environ=self.environ,
                amqp_url=amqp_url,
                database_urls=await self._database.service_urls(names)
                if self._database
                else dict.fromkeys(names, database_url),
                ports=self.ports.services,
                jwt_secret=None if has_key(self.environ) else local_secret(self.state_dir),
                console_secret=local_console_secret(self.environ, self.state_dir),
                state_dir=self.state_dir,
                management_url=self._broker.management_url if self._broker else None,
                answers_port=self.ports.demo.answers,
            )
            running = await self._services(stopping, context)
            rows = addresses(
                self.ports.services,
                management_url=self._broker.management_url if self._broker else None,
                prometheus_url=self._prometheus.url if self._prometheus else None,
                state_dir=self.state_dir,
            )
            self.screen.step("Ready.")
            own = database_url if self._database else None
            self.screen.ready(rows, self.ports.services.gateway, own)
            await self._watch(running)

    async def _nodes(self, stopping: AsyncExitStack) -> tuple[str, str]:
        """Start the private nodes, unless the environment names others, and return their URLs."""
        amqp_url = self.environ.get("RINGBACK_AMQP_URL", "")
        database_url = self.environ.get("RINGBACK_DATABASE_URL", "")
        require_free(named_ports(self.ports.services))
        # The first callback runs last, so Prometheus also records how the others stop.
        stopping.push_async_callback(self._stop_prometheus)
        starts: list[Coroutine[Any, Any, None]] = []
        if not database_url:
            port = self.ports.database.database
            self._database = database = PrivateDatabase(self.state_dir / "postgres", port)
            stopping.push_async_callback(self._stopped, "PostgreSQL", database.stop)
            starts.append(self._start_database(database))
        if not amqp_url:
            self._broker = broker = PrivateBroker(self.state_dir / "rabbitmq", self.ports.broker)
            stopping.push_async_callback(self._stopped, "RabbitMQ", broker.stop)
            starts.append(self._start_broker(broker))
        await _together(*starts, self._start_prometheus())
        return (
            self._broker.amqp_url() if self._broker else amqp_url,
            self._database.url() if self._database else database_url,
        )

    async def _start_database(self, database: PrivateDatabase) -> None:
        self.screen.step("Starting PostgreSQL")
        await database.start()
        await database.ensure_database("ringback")
        self.screen.step(f"PostgreSQL runs{database.account.remark}")

    async def _start_broker(self, broker: PrivateBroker) -> None:
        self.screen.step("Starting RabbitMQ (about 6 s)")
        await broker.start()
        self.screen.step(f"RabbitMQ runs{broker.account.remark}")

    async def _prepare(self, amqp_url: str, database_url: str) -> None:
        schedule = load(ScheduleSettings, self.environ).schedule
        await migrate.migrate(database_url)
        own = self._broker.management_url if self._broker else None
        await declare_schedule(amqp_url, schedule, self.environ, own_management_url=own)
        self.screen.step("Tables and queues are ready")

    async def _services(
        self, stopping: AsyncExitStack, context: StackContext
    ) -> list[RunningService]:
        log_dir = self.state_dir / "logs"
        running: list[RunningService] = []
        for spec in reversed(self.specs):
            env = service_environment(spec.name, context)
            service = RunningService.spawn(spec, env=env, log_dir=log_dir)
            stopping.push_async_callback(self._stopped, spec.name, service.stop)
            running.append(service)
        self.screen.step("Starting " + ", ".join(spec.name for spec in self.specs))
        await _together(*(service.ready(within_s=READY_S) for service in running))
        return running

    async def _start_prometheus(self) -> None:
        """Start Prometheus if possible. The stack works without it."""
        prometheus = PrivatePrometheus(
            self.state_dir / "prometheus", self.ports, scrapes_broker=self._broker is not None
        )
        try:
            await prometheus.start()
        except LocalStackError as exc:
            self.screen.step(f"Continuing without Prometheus. {exc}")
        else:
            self._prometheus = prometheus
            self.screen.step("Prometheus runs")

    async def _stop_prometheus(self) -> None:
        if self._prometheus is not None:
            await self._stopped("Prometheus", self._prometheus.stop)

    async def _stopped(self, name: str, stop: Callable[[], Awaitable[bool]]) -> None:
        began = time.monotonic()
        in_order = await stop()
        how = "stopped" if in_order else "did not stop in time and was killed"
        self.screen.step(f"{name} {how} ({time.monotonic() - began:.1f} s)")

    async def _watch(self, running: Sequence[RunningService]) -> None:
        followers = [(service, Follower(service.log_path)) for service in running]
        changes = self._changes()
        while True:
            for service, follower in followers:
                for line in follower.new_lines():
                    shown = shown_line(service.spec.name, line)
                    if shown:
                        self.screen.log(shown)
                service.require_running()
            if changes is not None and await asyncio.to_thread(changes.has_changed):
                await self._reload(running)
            self._require_nodes()
            await asyncio.sleep(WATCH_S)

    def _require_nodes(self) -> None:
        """Raise LocalStackError if PostgreSQL or RabbitMQ has ended."""
        nodes = {"PostgreSQL": self._database, "RabbitMQ": self._broker}
        for name, node in nodes.items():
            if node is not None and node.exit_code is not None:
                raise LocalStackError(f"{name} ended unexpectedly; its log is {node.log_path}.")
        if self._prometheus is not None and self._prometheus.exit_code is not None:
            log_path = self._prometheus.log_path
            self.screen.step(f"Prometheus ended unexpectedly; its log is {log_path}.")
            self._prometheus = None

    def _changes(self) -> ChangeWatch | None:
        roots = handler_files(self.environ.get("RINGBACK_HANDLERS", ""), self.environ)
        return ChangeWatch(roots) if self.reload and roots else None

    async def _reload(self, running: Sequence[RunningService]) -> None:
        """Restart the processor. If it does not start, webhooks wait for the next change."""
        [processor] = [service for service in running if service.spec.name == "processor"]
        self.screen.step("Handlers have changed; restarting the processor")
        try:
            await processor.restart(ready_within_s=READY_S)
        except LocalStackError as exc:
            self.screen.step(f"{exc}\nWebhooks wait until the handlers change again.")
        else:
            self.screen.step("The processor runs with the new handlers")


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """Run all of it at once; the first failure cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in work:
                group.create_task(part)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _until_stopped(work: Awaitable[Any]) -> None:
    """Run `work` until it ends or a signal arrives; every signal cancels it once."""
    task = asyncio.ensure_future(work)
    with _cancelling(task) as received:
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        if received and (task.cancelled() or task.exception() is None):
            return
        await task


@contextmanager
def _cancelling(task: asyncio.Future[Any]) -> Generator[list[signal.Signals], None, None]:
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []
    numbers = [signal.SIGINT, signal.SIGTERM]
    # A stack that was started with nohup must outlive the terminal.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)

    def on_signal(number: signal.Signals) -> None:
        received.append(number)
        task.cancel()

    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield received
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


_SETTLE_S = 0.2


async def declare_schedule(
    amqp_url: str,
    schedule: RetrySchedule,
    environ: Mapping[str, str],
    *,
    own_management_url: str | None,
) -> None:
    """Declare everything. A private node changes to a new schedule, as nothing uses it yet.

    At an external broker another schedule is an error, because its users are unknown. Raises
    TopologyError.
    """
    management_url = own_management_url or environ.get("RINGBACK_RABBITMQ_MANAGEMENT_URL") or None
    try:
        await topology.apply(amqp_url, schedule, management_url=management_url)
    except topology.ForeignScheduleError:
        if own_management_url is None:
            raise
        request = schedule_change.ChangeRequest(
            amqp_url=amqp_url, to=schedule, management_url=own_management_url, settle_s=_SETTLE_S
        )
        await schedule_change.change_schedule(request, schedule_change.StoppedProcessing())
