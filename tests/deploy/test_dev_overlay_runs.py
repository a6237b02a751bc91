"""The dev overlay's environment processes webhooks, on a real broker and database."""

# ruff: file-ignore[suspicious-subprocess-import] - starting services is what this file is for.
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp
import asyncpg
import pytest

from ringback.contract.broker_access import VHOST
from ringback.contract.topology import WORK_QUEUE
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from ringback.local.database_files import program
from ringback.local.ports import LOOPBACK, free_ports
from tests.architecture.source import ROOT
from tests.deploy.policies.settings import environment, expanded
from tests.deploy.rendered import K8S, Manifest, Workload, overlay, workloads
from tests.integration.cli.command import ringback
from tests.support.eventually import eventually
from tests.support.tokens import bearer

DEV = K8S / "overlays" / "dev"


@asynccontextmanager
async def accounts_on(broker: PrivateBroker) -> AsyncGenerator[None, None]:
    """The virtual host and the users of the overlay's definitions, as the broker imports them."""
    document = json.loads((DEV / "rabbitmq" / "definitions.json").read_bytes())
    async with broker.management() as api:
        async with api.post("/api/definitions", json=document) as answer:
            answer.raise_for_status()
        try:
            yield
        finally:
            paths = [f"/api/users/{user['name']}" for user in document["users"]]
            for path in (f"/api/vhosts/{quote(VHOST)}", *paths):
                async with api.delete(path) as gone:
                    gone.raise_for_status()


async def make_logins(database: PrivateDatabase) -> None:
    """What the PostgreSQL image does at its first start: create a superuser, then run our file."""
    admin = await asyncpg.connect(database.url())
    await admin.execute("CREATE ROLE ringback_owner LOGIN SUPERUSER PASSWORD 'dev-only-owner'")
    await admin.close()
    [server] = [one for one in workloads(overlay("dev")) if one.name == "StatefulSet/postgresql"]
    environ = environment(server.containers[0], overlay("dev")) | {
        "PATH": f"{Path(program('psql')).parent}:{os.environ['PATH']}",
        "PGHOST": LOOPBACK,
        "PGPORT": str(database.port),
        "PGPASSWORD": "dev-only-owner",
    }
    await asyncio.to_thread(_run, DEV / "postgresql" / "10-logins.sh", environ)


def _run(script: Path, environ: dict[str, str]) -> None:
    subprocess.run(["sh", "-e", script], env=os.environ | environ, check=True)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the broker and the database of the overlay are here."""

    broker: PrivateBroker
    database: PrivateDatabase
    folder: Path
    schedule: str = "100ms,200ms"

    def environment(self, container: Manifest) -> dict[str, str]:
        """A container's environment, with local addresses and a short retry schedule."""
        found = environment(container, overlay("dev"))
        places = {
            "@rabbitmq:5672": f"@{LOOPBACK}:{self.broker.ports.amqp}",
            "http://rabbitmq:15672": self.broker.management_url,
            "@database:5432": f"@{LOOPBACK}:{self.database.port}",
        }
        for name, text in found.items():
            for there, here in places.items():
                text = text.replace(there, here)  # ruff: ignore[redefined-loop-name]  # step by step
            found[name] = text
        return found | {"RINGBACK_RETRY_SCHEDULE": self.schedule}

    def service_environment(self, container: Manifest) -> dict[str, str]:
        """As `environment`, on ports that are free here, and a spool in our folder."""
        found = self.environment(container)
        names = {
            "gateway": ("GATEWAY_PORT", "GATEWAY_OBSERVABILITY_PORT"),
            "processor": ("PROCESSOR_OBSERVABILITY_PORT",),
            "metrics": ("METRICS_GRPC_PORT", "METRICS_REST_PORT", "METRICS_OBSERVABILITY_PORT"),
        }[container["name"]]
        ports = zip(names, free_ports(len(names)), strict=True)
        found |= {f"RINGBACK_{name}": str(port) for name, port in ports}
        if "RINGBACK_SPOOL_DIR" in found:
            found["RINGBACK_SPOOL_DIR"] = str(self.folder / "spool")
        return found


def workload(name: str) -> Workload:
    """One of the overlay."""
    [found] = [one for one in workloads(overlay("dev")) if one.name == name]
    return found


SERVICES = {
    "gateway": "StatefulSet/gateway",
    "processor": "Deployment/processor",
    "metrics": "Deployment/metrics",
}


@pytest.fixture
async def stage(
    broker: PrivateBroker, own_database: PrivateDatabase, tmp_path: Path
) -> AsyncIterator[Stage]:
    await make_logins(own_database)
    async with accounts_on(broker):
        yield Stage(broker, own_database, tmp_path)


async def run_containers(stage: Stage, name: str, *more: str, of: str) -> None:
    """Run a job's containers, or a pod's init containers, in order; each must succeed."""
    pod = workload(name).pod
    for container in pod.get("initContainers", []) + (pod["containers"] if of == "job" else []):
        environ = stage.environment(container)
        arguments = [expanded(text, environ) for text in container["args"]]
        ended = await ringback(*arguments, *more, cwd=stage.folder, **environ)
        assert ended.status == 0, f"{container['name']}: {ended.err}{ended.out}"


def start(stack: ExitStack, stage: Stage, name: str, environ: dict[str, str]) -> None:
    log = stack.enter_context((stage.folder / f"{name}.log").open("wb"))
    process = subprocess.Popen(
        [sys.executable, "-m", f"services.{name}"],
        env=os.environ | environ | {"RINGBACK_HANDLERS": "ringback.cli.demo.handlers"},
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)


async def all_ready(http: aiohttp.ClientSession, environs: dict[str, dict[str, str]]) -> bool:
    for name, environ in environs.items():
        port = environ[f"RINGBACK_{name.upper()}_OBSERVABILITY_PORT"]
        try:
            async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                assert answer.ok, f"{name}: {await answer.text()}"
        except aiohttp.ClientError:
            return False
    return True


async def test_webhooks_are_processed_with_the_containers_environment(stage: Stage) -> None:
    """Each step works with only the rights of its account.

    The job sets up, the init containers find the result, the services start with their own logins,
    a webhook passes the retry queues, one is dead-lettered and retried by a person, and the cron
    job does its housekeeping.
    """
    await run_containers(stage, "Job/setup-0-1-0", of="job")
    environs: dict[str, dict[str, str]] = {}
    with ExitStack() as stack:
        async with aiohttp.ClientSession() as http:
            starts = (run_containers(stage, place, of="start") for place in SERVICES.values())
            await asyncio.gather(*starts)
            for name, place in SERVICES.items():
                [container] = workload(place).containers
                environs[name] = stage.service_environment(container)
                start(stack, stage, name, environs[name])
            await eventually(lambda: all_ready(http, environs), deadline_s=30)

            climbs = await post(http, environs["gateway"], failUntilAttempt=2)
            buried = await post(http, environs["gateway"], failForGood=True)
            database = await asyncpg.connect(stage.database.url())
            await ends(database, climbs, "completed")
            await ends(database, buried, "dead_letter")
            again = await retried(http, environs["metrics"], buried)
            await ends(database, again, "dead_letter")
            await eventually(lambda: has_unacked_count(http, environs["metrics"]))
            await database.close()
    await run_containers(stage, "CronJob/housekeeping", of="job")
    await another_schedule(
        Stage(stage.broker, stage.database, stage.folder, schedule="100ms,300ms")
    )


async def another_schedule(stage: Stage) -> None:
    """A release's job refuses to bind it beside the old one; the job that moves would do it."""
    refused = stage.environment(workload("Job/setup-0-1-0").containers[0])
    assert (await ringback("topology", "apply", cwd=stage.folder, **refused)).status == 1
    # The move uses the broker's statistics, which are slow; the command has its own tests.
    await run_containers(stage, "CronJob/change-retry-schedule", "--dry-run", of="job")
    await run_containers(stage, "CronJob/prune-retry-queues", of="job")


async def post(http: aiohttp.ClientSession, environ: dict[str, str], **asked: object) -> str:
    """Send an event that fails as requested; returns its job id."""
    async with http.post(
        f"http://127.0.0.1:{environ['RINGBACK_GATEWAY_PORT']}/api/webhooks/vapi",
        json={"message": {"type": "ringback.demo", **asked}},
        headers={"X-Vapi-Secret": environ["RINGBACK_VAPI_SECRET"]},
    ) as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["jobId"])


async def ends(database: asyncpg.Connection, job_id: str, status: str) -> None:
    async def has_ended() -> bool:
        found = await database.fetchval(
            "SELECT status FROM webhook_delivery_log WHERE id = $1::uuid", job_id
        )
        assert found == status
        return True

    await eventually(has_ended, deadline_s=30)


async def retried(http: aiohttp.ClientSession, environ: dict[str, str], job_id: str) -> str:
    """Retry a dead letter as a person does; returns the id of the new job."""
    place = f"http://127.0.0.1:{environ['RINGBACK_METRICS_REST_PORT']}"
    async with http.post(
        f"{place}/api/webhook-metrics/retry-failed/{job_id}",
        headers={"Authorization": bearer("service", secret=environ["RINGBACK_JWT_SECRET"])},
        json={"reason": "The accounts are tried."},
    ) as answer:
        assert answer.ok, await answer.text()
        return str((await answer.json())["newJobId"])


async def has_unacked_count(http: aiohttp.ClientSession, environ: dict[str, str]) -> bool:
    """Whether the management API answers the account of the metrics service."""
    port = environ["RINGBACK_METRICS_OBSERVABILITY_PORT"]
    async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        return f'webhook_queue_unacked{{queue="{WORK_QUEUE}"}}' in await answer.text()
