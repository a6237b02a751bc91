"""The three services as children of the local stack."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp

from ringback.local.child import Child, LocalStackError
from ringback.local.ports import LOOPBACK, LOOPBACK_OF_BOTH, ServicePorts, named_ports, port_setting

POLL_S = 0.1
TAIL_LINES = 12
TRACE_FILE = "traces.jsonl"
"""In the stack's folder: its services' spans. A full file is renamed with the suffix `.1`."""
SERVICES = ("gateway", "processor", "metrics")
DEMO_ENDPOINT = "demo"
ANSWERS_ENDPOINT = "answers"
DEMO_ANSWERS = "ringback.cli.demo.answers"
_DEFAULT_ORG = "00000000-0000-0000-0000-000000000001"
DEMO_HANDLERS = "ringback.cli.demo.handlers"  # `ringback demo` sends the webhooks that fail here


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """The command of a service, its readiness URL, and how long it may take to stop."""

    name: str
    command: Sequence[str]
    observability_port: int
    stop_within_s: float


@dataclass(slots=True)
class RunningService:
    spec: ServiceSpec
    child: Child
    log_path: Path
    env: Mapping[str, str] = field(repr=False)
    must_run: bool = True
    """False after a restart that failed: it waits for the next one."""

    @classmethod
    def spawn(cls, spec: ServiceSpec, *, env: Mapping[str, str], log_dir: Path) -> Self:
        log_dir.mkdir(exist_ok=True)
        log_path = log_dir / f"{spec.name}.log"
        child = Child.spawn(spec.name, spec.command, env=env, log_path=log_path)
        return cls(spec, child, log_path, env)

    async def restart(self, *, ready_within_s: float) -> None:
        """Stop it as at any stop, start it again and wait; LocalStackError if it is not ready."""
        await self.stop()
        self.child = Child.spawn(
            self.spec.name, self.spec.command, env=self.env, log_path=self.log_path
        )
        self.must_run = True
        try:
            await self.ready(within_s=ready_within_s)
        except LocalStackError:
            self.must_run = False
            raise

    async def ready(self, *, within_s: float) -> None:
        """Wait until /readyz answers 200; LocalStackError if it ends before, or takes too long."""
        deadline = time.monotonic() + within_s
        while not await is_ready(self.spec.observability_port):
            self.require_running()
            if time.monotonic() > deadline:
                raise LocalStackError(
                    f"The {self.spec.name} runs but is not ready; its log is {self.log_path}."
                )
            await asyncio.sleep(POLL_S)

    def require_running(self) -> None:
        """Raise LocalStackError, with the end of its log, if it has ended."""
        if self.must_run and self.child.exit_code is not None:
            raise LocalStackError(
                f"The {self.spec.name} ended unexpectedly, exit code {self.child.exit_code}; "
                f"the end of {self.log_path}:\n{tail(self.log_path)}"
            )

    async def stop(self) -> bool:
        """Stop it after its webhooks in flight are finished; False if it had to be killed."""
        return await self.child.stop(signal.SIGTERM, within_s=self.spec.stop_within_s)


def service_specs(ports: ServicePorts) -> tuple[ServiceSpec, ...]:
    """The services in the order in which they stop: those that accept work come first."""
    return (
        _spec("gateway", ports.gateway_observability, stop_within_s=20),
        _spec("processor", ports.processor_observability, stop_within_s=35),
        _spec("metrics", ports.metrics_observability, stop_within_s=15),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StackContext:
    """What the services of a stack share. If the environment has a key, `jwt_secret` is None."""

    environ: Mapping[str, str]
    amqp_url: str
    database_urls: Mapping[str, str]
    """The address of the database for each service, by name."""
    ports: ServicePorts
    jwt_secret: str | None
    state_dir: Path
    management_url: str | None
    console_secret: str | None = None
    """None if the environment has one."""
    answers_port: int | None = None
    """Where the backend of the demo answers questions; None without one."""


def urls_by_role(database_url: str) -> dict[str, str]:
    """The same address for each service, with the service's role."""
    return {name: f"{database_url}?role=ringback_{name}" for name in SERVICES}


def service_environment(name: str, context: StackContext) -> dict[str, str]:
    """The environment of one service: this machine's variables, and the stack's addresses."""
    environ = context.environ
    local = {
        # Only this machine can reach a gateway without a secret.
        "RINGBACK_GATEWAY_HOST": LOOPBACK_OF_BOTH,
        "RINGBACK_METRICS_HOST": LOOPBACK_OF_BOTH,
        "RINGBACK_OBSERVABILITY_HOST": LOOPBACK_OF_BOTH,
        "RINGBACK_TRACE_FILE": str(context.state_dir.absolute() / TRACE_FILE),
        "RINGBACK_SPOOL_DIR": str(context.state_dir / "spool"),
        "PYTHONUNBUFFERED": "1",
    }
    if not environ.get("RINGBACK_VAPI_SECRET"):
        local["RINGBACK_ALLOW_UNAUTHENTICATED"] = "true"
    ours = {port_setting(port): str(number) for port, number in named_ports(context.ports).items()}
    ours["RINGBACK_DATABASE_URL"] = context.database_urls[name]
    ours["RINGBACK_AMQP_URL"] = context.amqp_url
    if name == "metrics" and context.jwt_secret is not None:
        ours["RINGBACK_JWT_SECRET"] = context.jwt_secret
    if name == "metrics":
        local["RINGBACK_CONSOLE_URL"] = f"http://{LOOPBACK}:{context.ports.metrics_rest}"
        if context.console_secret is not None:
            ours["RINGBACK_CONSOLE_SECRET"] = context.console_secret
    if name != "gateway" and context.management_url is not None:
        local["RINGBACK_RABBITMQ_MANAGEMENT_URL"] = context.management_url
    if name == "gateway" and context.answers_port is not None:
        local |= demo_endpoints(environ, context.answers_port)
    modules = filter(None, [environ.get("RINGBACK_HANDLERS"), DEMO_HANDLERS])
    return local | dict(environ) | ours | {"RINGBACK_HANDLERS": ",".join(modules)}


def demo_endpoints(environ: Mapping[str, str], answers_port: int) -> dict[str, str]:
    """The settings that add an endpoint with questions, unless the environment declares others."""
    if environ.get("RINGBACK_ENDPOINTS") or environ.get("RINGBACK_ENDPOINTS_FILE"):
        return {}
    org: dict[str, object] = {"org_id": environ.get("RINGBACK_DEFAULT_ORG_ID") or _DEFAULT_ORG}
    url = {"url": f"http://{LOOPBACK}:{answers_port}/"}
    questions = {"assistant-request": url, "tool-calls": url}
    demo = {**org, "questions": questions}
    ours: dict[str, dict[str, object]] = {DEMO_ENDPOINT: demo}
    if environ.get("RINGBACK_ANSWERS") == DEMO_ANSWERS:
        handler = {"handler": True}
        ours[ANSWERS_ENDPOINT] = {**org, "questions": dict.fromkeys(questions, handler)}
    if environ.get("RINGBACK_VAPI_SECRET"):
        secret = {"secret": {"env": "RINGBACK_VAPI_SECRET"}}
        endpoints = {name: {**one, **secret} for name, one in ours.items()}
    else:
        endpoints = {**ours, "default": org}
    return {
        "RINGBACK_ENDPOINTS": json.dumps(endpoints),
        "RINGBACK_OUTGOING_NETWORKS": f"{LOOPBACK}/32",
    }


async def is_ready(observability_port: int) -> bool:
    """Whether a service is ready; one that does not answer is not."""
    return await answers_ok(observability_port, "/readyz", timeout_s=2)


async def answers_ok(observability_port: int, path: str, *, timeout_s: float) -> bool:
    """Whether a page of a service's observability port answers 2xx in time."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as client,
            client.get(f"http://{LOOPBACK}:{observability_port}{path}") as answer,
        ):
            return answer.ok
    except (OSError, TimeoutError, aiohttp.ClientError):
        return False


def tail(log_path: Path) -> str:
    """The last lines of a log, without reading all of it."""
    far_enough = 16_384
    with log_path.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - far_enough))
        lines = log.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-TAIL_LINES:])


def _spec(name: str, port: int, *, stop_within_s: float) -> ServiceSpec:
    return ServiceSpec(
        name=name,
        command=[sys.executable, "-m", f"ringback.services.{name}"],
        observability_port=port,
        stop_within_s=stop_within_s,
    )
