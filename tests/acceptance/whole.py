"""Starts the three services as processes, and talks to them as the world does."""

import json
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg

from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.ports import free_ports
from ringback.runtime.amqp import topology
from tests.support.calling_handler import CALL_TYPE
from tests.support.database_roles import url_as
from tests.support.eventually import eventually
from tests.support.gateway_client import PATIENT
from tests.support.service_process import ServiceProcess, start_service
from tests.support.tokens import JWT_SECRET

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "processor", "metrics")
SCHEDULE = "200ms,400ms,800ms"
_READY_WITHIN_S = 120.0
_STOPPED_WITHIN_S = 120.0


@dataclass(slots=True)
class Whole:
    gateway_url: str
    grpc_address: str
    rest_url: str
    observability_ports: dict[str, int]
    processes: dict[str, ServiceProcess]
    http: aiohttp.ClientSession
    database: asyncpg.Pool
    settings: dict[str, str]
    """For commands that look at these services."""
    folder: Path
    """With the log of each service."""

    async def post(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Post a webhook as Vapi does; the status, and the document that came back."""
        async with self.http.post(
            self.gateway_url, data=body, headers={"Content-Type": "application/json"}
        ) as answer:
            return answer.status, await answer.json(content_type=None)

    async def asked(self) -> None:
        """Ask the question of `declare_question`, which the backend answers with a mistake."""
        status, _ = await self.post(b'{"message": {"type": "assistant-request"}}')
        assert status == 200

    async def accepted(self, body: bytes) -> str:
        """Post a webhook that must be accepted; its job id."""
        status, document = await self.post(body)
        assert status == 200, document
        assert document["success"] is True
        return str(document["jobId"])

    async def statuses(self, job_ids: list[str]) -> list[str | None]:
        rows = await self.database.fetch(
            "SELECT status FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (id, place)"
            " LEFT JOIN webhook_delivery_log USING (id) ORDER BY place",
            job_ids,
        )
        return [row["status"] for row in rows]

    async def settled(self, job_ids: list[str], *, deadline_s: float = 30) -> list[str | None]:
        """The statuses, once all are final."""

        async def all_final() -> list[str | None]:
            found = await self.statuses(job_ids)
            assert set(found) <= {"completed", "duplicate", "dead_letter"}, found
            return found

        return await eventually(all_final, deadline_s=deadline_s)

    async def is_ready(self, name: str) -> bool:
        try:
            async with self.http.get(
                f"http://127.0.0.1:{self.observability_ports[name]}/readyz"
            ) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def all_ready(self, *, deadline_s: float = _READY_WITHIN_S) -> None:
        """Wait until all three are ready and still running."""

        async def ready() -> bool:
            ended = {name: one.poll() for name, one in self.processes.items()}
            assert set(ended.values()) == {None}, (ended, *map(self._last_lines, SERVICES))
            return all([await self.is_ready(name) for name in SERVICES])

        await eventually(ready, deadline_s=deadline_s)

    def _last_lines(self, name: str) -> str:
        lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join([f"{name}:", *lines[-20:]])

    async def metric(self, service: str, name: str) -> float:
        """The sum of a metric's samples."""
        url = f"http://127.0.0.1:{self.observability_ports[service]}/metrics"
        async with self.http.get(url) as answer:
            lines = (await answer.text()).splitlines()
        samples = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        assert samples, name
        return sum(float(line.rpartition(" ")[2]) for line in samples)


def demo(**wanted: object) -> bytes:
    """A webhook whose demo handler does what is wanted."""
    return json.dumps({"message": {"type": "ringback.demo", **wanted}}).encode()


def calling(url: str) -> bytes:
    """A webhook whose handler calls this URL (tests.support.calling_handler)."""
    return json.dumps({"message": {"type": CALL_TYPE, "url": url}}).encode()


def declare_question(folder: Path, url: str) -> dict[str, str]:
    """Declare a default endpoint whose assistant requests go to `url`; the gateway's settings."""
    file = folder / "endpoints.json"
    asks = {"assistant-request": {"url": url}}
    default = {"org_id": str(uuid4()), "questions": asks}
    file.write_text(json.dumps({"endpoints": {"default": default}}))
    return {
        "RINGBACK_ENDPOINTS_FILE": str(file),
        "RINGBACK_OUTGOING_NETWORKS": "127.0.0.0/8",
    }


@asynccontextmanager
async def whole_ringback(
    amqp_url: str,
    database_url: str,
    folder: Path,
    declared: RetrySchedule | None = None,
    /,
    **variables: str,
) -> AsyncGenerator[Whole, None]:
    """Run the three services until the context ends; then they are stopped, and must end.

    `variables` are added to their environment. The broker has the queues of the schedule `declared`
    if it is given.
    """
    gateway_port, grpc_port, rest_port, *observability_ports = free_ports(6)
    schedule = variables.get("RINGBACK_RETRY_SCHEDULE", SCHEDULE)
    await topology.apply(amqp_url, declared or RetrySchedule.parse(schedule))
    settings = {
        "RINGBACK_AMQP_URL": amqp_url,
        "RINGBACK_DATABASE_URL": database_url,
        "RINGBACK_RETRY_SCHEDULE": schedule,
        "RINGBACK_GATEWAY_PORT": str(gateway_port),
        "RINGBACK_METRICS_GRPC_PORT": str(grpc_port),
        "RINGBACK_METRICS_REST_PORT": str(rest_port),
        "RINGBACK_METRICS_INTERVAL_S": "0.2",
        **PATIENT,
        "RINGBACK_JWT_SECRET": JWT_SECRET,
        "RINGBACK_ALLOW_UNAUTHENTICATED": "true",
        "RINGBACK_HANDLERS": "ringback.cli.demo.handlers",
        "RINGBACK_OBSERVABILITY_HOST": "127.0.0.1",
        **{
            f"RINGBACK_{name.upper()}_OBSERVABILITY_PORT": str(port)
            for name, port in zip(SERVICES, observability_ports, strict=True)
        },
        **variables,
    }
    async with AsyncExitStack() as stack:
        started = stack.enter_context(ExitStack())
        processes = {
            name: _start(
                started, name, os.environ | settings | _database(name, database_url), folder
            )
            for name in SERVICES
        }
        running = Whole(
            gateway_url=f"http://127.0.0.1:{gateway_port}/api/webhooks/vapi",
            grpc_address=f"127.0.0.1:{grpc_port}",
            rest_url=f"http://127.0.0.1:{rest_port}",
            observability_ports=dict(zip(SERVICES, observability_ports, strict=True)),
            processes=processes,
            http=await stack.enter_async_context(aiohttp.ClientSession()),
            database=await stack.enter_async_context(
                asyncpg.create_pool(database_url, min_size=1, max_size=2)
            ),
            settings=settings,
            folder=folder,
        )
        await running.all_ready()
        # Only a test that has passed asks how the services stop; the others are killed.
        yield running  # ruff: ignore[fallible-context-manager]
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        assert [one.wait(_STOPPED_WITHIN_S) for one in processes.values()] == [0, 0, 0]


def _database(name: str, database_url: str) -> dict[str, str]:
    """Each service works with the rights of its own role, as in production."""
    return {"RINGBACK_DATABASE_URL": url_as(database_url, f"ringback_{name}")}


def _start(
    stack: ExitStack, name: str, environment: dict[str, str], folder: Path
) -> ServiceProcess:
    process = start_service(name, environment, folder / f"{name}.log")
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process
