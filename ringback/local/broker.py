"""A private RabbitMQ node, for one person's machine or one test session."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import aiohttp
import aiormq

from ringback.local.account import Account, make_private
from ringback.local.broker_launch import Launch, prepare_launch
from ringback.local.child import Child, LocalStackError, run_command
from ringback.local.jwt_secret import kept_secret
from ringback.local.ports import (
    BROKER_USER,
    LOOPBACK,
    BrokerPorts,
    broker_url,
    named_ports,
    password_path,
    require_free,
)

POLL_S = 0.1
PROBE_S = 5.0
CONTROL_S = 120.0
_OUTSIDE_OF_A_CONTAINER = frozenset({"amqp", "management", "broker_metrics"})


@dataclass(slots=True)
class PrivateBroker:
    """A RabbitMQ node with its own data, ports, cookie and configuration, on loopback only.

    It never touches the system's service. Its data survives `stop`, `kill` and the end of this
    process. It has one user, whose password is created once and kept in `data_dir`.
    """

    data_dir: Path
    ports: BrokerPorts = field(default_factory=BrokerPorts)
    settings: str = ""
    """Extra lines for its configuration file."""
    _node: Child | None = field(default=None, init=False)
    _epmd: Child | None = field(default=None, init=False)
    _container: str | None = field(default=None, init=False)
    _launched: Launch | None = field(default=None, init=False)
    _password: str = field(default="", init=False, repr=False)

    @property
    def log_path(self) -> Path:
        """The node's output during its start, including why it failed."""
        return self.data_dir / "broker.log"

    @property
    def management_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.management}"

    @property
    def exit_code(self) -> int | None:
        """The node's exit status, or None while it runs or was never started."""
        return self._node.exit_code if self._node else None

    @property
    def account(self) -> Account:
        """The user that the node runs as."""
        return self._launched.account if self._launched else Account()

    def amqp_url(self, vhost: str = "/") -> str:
        """The address of a virtual host, with the password; only after `start`."""
        return broker_url(self.ports.amqp, self._password, vhost)

    async def start(self, *, within_s: float = 90) -> None:
        """Start the node and wait until clients can declare and consume.

        LocalStackError, with the path of the log, if it ends or is not ready after `within_s`.
        """
        # Erlang and the container engine need an absolute path.
        self.data_dir = self.data_dir.resolve()
        make_private(self.data_dir)
        self._password = kept_secret(password_path(self.data_dir))
        launch = await asyncio.to_thread(
            prepare_launch, self.data_dir, self.ports, self._password, self.settings
        )
        require_free(
            {
                name: port
                for name, port in named_ports(self.ports).items()
                if launch.container is None or name in _OUTSIDE_OF_A_CONTAINER
            }
        )
        self._launched = launch
        try:
            await self._launch(launch)
            await self._until_it_answers("/", time.monotonic() + within_s)
        except BaseException:
            await self.kill()
            raise

    async def stop(self, *, within_s: float = 20) -> bool:
        """Stop the node cleanly, by force after `within_s`; True if no force was needed."""
        if self._node is None:
            return True
        try:
            return await self._node.stop(signal.SIGTERM, within_s=within_s)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """Kill the node, so that it cannot write anything more, as in a power failure."""
        if self._container is not None:
            await _docker("kill", self._container)
        for child in (self._node, self._epmd):
            if child is not None:
                await child.kill()
        self._node = self._epmd = self._container = None

    async def freeze(self) -> None:
        """Freeze the node, with its connections open and silent, until `thaw`."""
        if self._container is not None:
            await _docker("pause", self._container)
        elif self._node is not None:
            self._node.send_group(signal.SIGSTOP)

    async def thaw(self) -> None:
        if self._container is not None:
            await _docker("unpause", self._container)
        elif self._node is not None:
            self._node.send_group(signal.SIGCONT)

    async def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` with these arguments and return its output.

        LocalStackError with that output if it fails. It takes two seconds, because it starts
        Erlang.
        """
        assert self._launched is not None, "the node was never started"
        launch = self._launched
        become = () if launch.container else launch.account.command_prefix()
        command = [*become, *launch.control, *arguments]
        env = launch.env
        done = await asyncio.to_thread(run_command, command, within_s=CONTROL_S, env=env)
        if done.exit_code:
            raise LocalStackError(
                f"rabbitmqctl {arguments[0]} failed: {(done.errors or done.output).strip()}"
            )
        return done.output

    async def create_vhost(self, name: str) -> None:
        """Create a virtual host and wait until it accepts connections."""
        async with self.management() as api, api.put(f"/api/vhosts/{quote(name, safe='')}") as got:
            got.raise_for_status()
        await self._until_it_answers(name, time.monotonic() + CONTROL_S)

    async def delete_vhost(self, name: str) -> None:
        """Remove a virtual host with its contents; a missing one is no error."""
        missing = 404
        path = f"/api/vhosts/{quote(name, safe='')}"
        async with self.management() as api, api.delete(path) as got:
            if got.status != missing:
                got.raise_for_status()

    def management(self) -> aiohttp.ClientSession:
        """A client of the management API, with all permissions."""
        return aiohttp.ClientSession(
            self.management_url,
            headers={"Authorization": aiohttp.encode_basic_auth(BROKER_USER, self._password)},
            timeout=aiohttp.ClientTimeout(total=CONTROL_S),
        )

    async def _launch(self, launch: Launch) -> None:
        if launch.epmd is not None:
            # In the foreground: one that Erlang starts would stay behind as a daemon.
            self._epmd = self._spawn("epmd", launch.epmd, launch)
        if launch.container is not None:
            await _docker("rm", "--force", launch.container)
        self._container = launch.container
        self._node = self._spawn("RabbitMQ", launch.command, launch)

    def _spawn(self, name: str, command: Sequence[str], launch: Launch) -> Child:
        try:
            return Child.spawn(
                name,
                command,
                env=launch.env,
                log_path=self.log_path,
                become=() if launch.container else launch.account.command_prefix(),
                held_by_stdin=launch.container is not None,
            )
        except OSError as exc:
            raise LocalStackError(f"{name} could not be started: {exc}.") from exc

    async def _until_it_answers(self, vhost: str, deadline: float) -> None:
        while not await self._answers(vhost):
            if self.exit_code is not None:
                raise LocalStackError(f"RabbitMQ did not start; its log is {self.log_path}.")
            if time.monotonic() > deadline:
                raise LocalStackError(f"RabbitMQ does not answer; its log is {self.log_path}.")
            await asyncio.sleep(POLL_S)

    async def _answers(self, vhost: str) -> bool:
        """Whether a client can declare a queue: a node with an open port may still refuse that."""
        refused = (OSError, TimeoutError, aiormq.exceptions.AMQPError, aiohttp.ClientError)
        with contextlib.suppress(*refused):
            async with asyncio.timeout(PROBE_S):
                await _declare_and_consume(self.amqp_url(vhost))
                async with self.management() as api, api.get("/api/vhosts") as got:
                    return got.ok
        return False


async def _declare_and_consume(amqp_url: str) -> None:
    _, writer = await asyncio.open_connection(LOOPBACK, urlsplit(amqp_url).port)
    writer.close()
    connection = await aiormq.connect(amqp_url)
    try:
        channel = await connection.channel()
        queue = await channel.queue_declare(exclusive=True)
        await channel.basic_consume(str(queue.queue), _ignore)
    finally:
        await connection.close()


async def _ignore(_: object) -> None:
    """Nothing is ever published to the probe's queue."""


async def _docker(*arguments: str) -> None:
    await asyncio.to_thread(run_command, ["docker", *arguments], within_s=30)
