"""The metrics service as its own process, as in production."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ringback.local.ports import free_ports
from tests.support.database_roles import METRICS, url_as
from tests.support.service_process import ServiceProcess, start_service
from tests.support.tokens import CONSOLE_SECRET, JWT_SECRET


@dataclass(slots=True)
class MetricsProcess:
    process: ServiceProcess
    grpc_port: int
    rest_port: int
    observability_port: int
    log_path: Path

    async def samples(self) -> dict[str, float]:
        """Our gauges, as Prometheus would scrape them."""
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{self.observability_port}/metrics") as answer,
        ):
            lines = (await answer.text()).splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def logged(self, event: str) -> int:
        """How many lines of its log are about this event."""
        return self.log_path.read_text(encoding="utf-8").count(f'"{event}"')

    async def is_ready(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession() as client,
                client.get(f"http://127.0.0.1:{self.observability_port}/readyz") as answer,
            ):
                return answer.ok
        except aiohttp.ClientError:
            assert self.process.poll() is None, self.log_path.read_text(encoding="utf-8")
            return False

    async def is_serving(self) -> bool:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest())
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def metrics_process(
    tmp_path: Path, *before: str, amqp_url: str, database_url: str, **settings: str
) -> AsyncGenerator[MetricsProcess, None]:
    """Start the service on free ports; it is not ready yet. It ends with the context.

    `before` is a command that becomes the service.
    """
    grpc_port, rest_port, observability_port = free_ports(3)
    env = os.environ | {
        "RINGBACK_AMQP_URL": amqp_url,
        "RINGBACK_DATABASE_URL": url_as(database_url, METRICS),
        "RINGBACK_METRICS_HOST": "127.0.0.1",
        "RINGBACK_METRICS_GRPC_PORT": str(grpc_port),
        "RINGBACK_METRICS_REST_PORT": str(rest_port),
        "RINGBACK_OBSERVABILITY_HOST": "127.0.0.1",
        "RINGBACK_METRICS_OBSERVABILITY_PORT": str(observability_port),
        "RINGBACK_METRICS_INTERVAL_S": "0.2",
        "RINGBACK_JWT_SECRET": JWT_SECRET,
        "RINGBACK_CONSOLE_SECRET": CONSOLE_SECRET,
    }
    log_path = tmp_path / f"metrics-{grpc_port}.log"
    process = start_service("metrics", env | settings, log_path, *before)
    try:
        yield MetricsProcess(process, grpc_port, rest_port, observability_port, log_path)
    finally:
        process.kill()
        process.wait()
