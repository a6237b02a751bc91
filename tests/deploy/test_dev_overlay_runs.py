"""The dev overlay's environment processes webhooks, on a real broker and database."""

# ruff: file-ignore[suspicious-subprocess-import] - starting services is what this file is for.
import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from ringback.contract.topology import WORK_QUEUE
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from tests.architecture.source import ROOT
from tests.deploy.dev_stack import Stage, accounts_on, make_logins, workload
from tests.deploy.policies.settings import expanded
from tests.integration.cli.command import ringback
from tests.support.eventually import eventually
from tests.support.tokens import bearer

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
            await eventually(lambda: tells_unacked(http, environs["metrics"]))
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


async def tells_unacked(http: aiohttp.ClientSession, environ: dict[str, str]) -> bool:
    """Whether the management API answers the account of the metrics service."""
    port = environ["RINGBACK_METRICS_OBSERVABILITY_PORT"]
    async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        return f'webhook_queue_unacked{{queue="{WORK_QUEUE}"}}' in await answer.text()
