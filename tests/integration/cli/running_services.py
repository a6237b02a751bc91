"""A gateway and a processor as processes."""

import os
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.ports import free_ports
from ringback.local.stack_service import is_ready
from ringback.runtime.amqp import topology
from tests.support.eventually import eventually
from tests.support.service_process import ServiceProcess, start_service


@asynccontextmanager
async def running_services(
    tmp_path: Path, *, amqp_url: str, database_url: str, schedule: str
) -> AsyncGenerator[dict[str, str], None]:
    """Start both with the demo's handlers; yield the settings for commands when both are ready."""
    gateway_port, gateway_observability, processor_observability = free_ports(3)
    settings = {
        "RINGBACK_AMQP_URL": amqp_url,
        "RINGBACK_DATABASE_URL": database_url,
        "RINGBACK_RETRY_SCHEDULE": schedule,
        "RINGBACK_GATEWAY_PORT": str(gateway_port),
        "RINGBACK_GATEWAY_OBSERVABILITY_PORT": str(gateway_observability),
        "RINGBACK_PROCESSOR_OBSERVABILITY_PORT": str(processor_observability),
        "RINGBACK_VAPI_SECRET": "s3cret",
        "RINGBACK_HANDLERS": "ringback.cli.demo.handlers",
        "RINGBACK_GATEWAY_HOST": "127.0.0.1",
        "RINGBACK_OBSERVABILITY_HOST": "127.0.0.1",
    }
    await topology.apply(amqp_url, RetrySchedule.parse(schedule))
    with ExitStack() as stack:
        processes = [
            _spawn(stack, name, settings, tmp_path / f"{name}.log")
            for name in ("gateway", "processor")
        ]

        async def both_ready() -> bool:
            assert all(process.poll() is None for process in processes), _logs(tmp_path)
            return await is_ready(gateway_observability) and await is_ready(processor_observability)

        await eventually(both_ready, deadline_s=60)
        yield settings


def _spawn(stack: ExitStack, name: str, settings: dict[str, str], log_path: Path) -> ServiceProcess:
    process = start_service(name, os.environ | settings, log_path)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.log"))
