"""Services that are restarted when they die, as in a real deployment, alone or as replicas."""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ringback.local.child import LocalStackError
from ringback.local.ports import LOOPBACK, ServicePorts, free_ports, named_ports
from ringback.local.stack_service import (
    RunningService,
    ServiceSpec,
    StackContext,
    answers_ok,
    is_ready,
    service_environment,
    service_specs,
)

_RESTART_AFTER_S = 0.5
_POLL_S = 0.1
_DIES_WITHIN_S = 10.0
_LIVE_WITHIN_S = 1.0
_READY_WITHIN_S = 300.0


class Supervised:
    """Runs a service inside this context. It is restarted half a second after its end."""

    def __init__(self, spec: ServiceSpec, env: Mapping[str, str], log_dir: Path) -> None:
        self.spec = spec
        self._env = env
        self._changes: Mapping[str, str] = {}
        self._log_dir = log_dir
        self._service: RunningService | None = None
        self._watch: asyncio.Task[None] | None = None
        self.deaths = 0

    async def __aenter__(self) -> Self:
        self._spawn()
        self._watch = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._watch is not None
        self._watch.cancel()
        with suppress(asyncio.CancelledError):
            await self._watch
        # A frozen process would not receive the signal to stop.
        self.thaw()
        await self.running.stop()

    @property
    def running(self) -> RunningService:
        assert self._service is not None
        return self._service

    async def kill(self) -> None:
        """Kill it as a power cut would, and return when it is gone."""
        child = self.running.child
        child.send_group(signal.SIGKILL)
        await child.ended(_DIES_WITHIN_S)

    async def restart(self, changes: Mapping[str, str]) -> None:
        """Kill it; from now on it runs with these additional variables."""
        self._changes = changes
        await self.kill()

    def freeze(self) -> None:
        """Freeze the process: its connections stay open, and nothing answers."""
        self.running.child.send_group(signal.SIGSTOP)

    def thaw(self) -> None:
        self.running.child.send_group(signal.SIGCONT)

    async def is_ready(self) -> bool:
        return await is_ready(self.spec.observability_port)

    async def is_live(self) -> bool:
        """Probe liveness as a cluster does: it fails if the process does not answer in a second."""
        return await answers_ok(self.spec.observability_port, "/livez", timeout_s=_LIVE_WITHIN_S)

    async def ready(self, *, within_s: float) -> None:
        """Wait until it is ready, in this run or a later one; raises LocalStackError."""
        deadline = time.monotonic() + within_s
        while not await self.is_ready():
            if time.monotonic() > deadline:
                log = self.running.log_path
                raise LocalStackError(f"The {self.spec.name} is not ready; its log is {log}.")
            await asyncio.sleep(_POLL_S)

    def _spawn(self) -> None:
        self._service = RunningService.spawn(
            self.spec, env={**self._env, **self._changes}, log_dir=self._log_dir
        )

    async def _keep(self) -> None:
        while True:
            if self.running.child.exit_code is not None:
                self.deaths += 1
                await asyncio.sleep(_RESTART_AFTER_S)
                self._spawn()
            await asyncio.sleep(_POLL_S)


@dataclass(frozen=True, slots=True)
class Replica:
    service: Supervised
    ports: ServicePorts

    @property
    def url(self) -> str:
        """Where webhooks are sent, if it is a gateway."""
        return f"http://{LOOPBACK}:{self.ports.gateway}/api/webhooks/vapi"

    @property
    def observability_url(self) -> str:
        return f"http://{LOOPBACK}:{self.service.spec.observability_port}"

    @property
    def grpc_address(self) -> str:
        return f"{LOOPBACK}:{self.ports.metrics_grpc}"


@asynccontextmanager
async def replicas(
    name: str, count: int, around: StackContext, **variables: str
) -> AsyncGenerator[tuple[Replica, ...], None]:
    """Run `count` replicas of the service `name`, all ready. They end with the context.

    `variables` are added to their environment. Each has its own folder, for its spool.
    """
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(_replica(name, number, around, variables))
            for number in range(1, count + 1)
        ]
        await asyncio.gather(*(one.service.ready(within_s=_READY_WITHIN_S) for one in found))
        yield tuple(found)


@asynccontextmanager
async def _replica(
    name: str, number: int, around: StackContext, variables: Mapping[str, str]
) -> AsyncGenerator[Replica, None]:
    names = named_ports(ServicePorts())
    ports = ServicePorts(**dict(zip(names, free_ports(len(names)), strict=True)))
    folder = around.state_dir / f"{name}-{ports.gateway}-{number}"
    folder.mkdir(parents=True)
    mine = replace(around, ports=ports, state_dir=folder)
    [spec] = [spec for spec in service_specs(ports) if spec.name == name]
    env = {**service_environment(name, mine), **variables}
    async with Supervised(spec, env, folder / "logs") as service:
        yield Replica(service, ports)
