"""A gateway is replaced under load, behind a balancer like a Kubernetes Service."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chaos.supervised import Replica, replicas
from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.ports import ServicePorts
from ringback.local.stack_service import StackContext, urls_by_role
from ringback.runtime.amqp import topology
from tests.acceptance.balancer import READY_WITHIN_S, Balancer, balanced
from tests.acceptance.whole import ROOT, SCHEDULE
from tests.support.eventually import eventually
from tests.support.gateway_client import PATIENT
from tests.support.tokens import JWT_SECRET


async def kill(gateway: Replica, balancer: Balancer) -> None:
    """Kill a gateway that still gets connections, until one has failed."""
    while not balancer.failed:
        await gateway.service.kill()
        await gateway.service.ready(within_s=READY_WITHIN_S)


@asynccontextmanager
async def under_load(url: str, metrics: str, ledger: Path) -> AsyncGenerator[list[str], None]:
    """Run `python -m chaos during` for as long as this context; its status and output follow."""
    found: list[str] = []
    begun, done, log = (Path(f"{ledger}.{suffix}") for suffix in ("begun", "done", "log"))
    script = f"touch {begun}; until [ -e {done} ]; do sleep 0.1; done"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "chaos", "during", "--url", url, "--ledger", str(ledger)],
            # Few enough for a busy machine to answer each in time.
            *["--metrics", metrics, "--within", "600", "--rate", "15", "--", "sh", "-c", script],
            env={**os.environ, "RINGBACK_JWT_SECRET": JWT_SECRET},
            stdout=output,
            stderr=output,
            cwd=ROOT,
        )
    await eventually(lambda: begun.exists() or process.returncode is not None, deadline_s=300)
    assert begun.exists(), log.read_text()
    try:
        yield found
    finally:
        done.touch()
        found += [f"exit status {await process.wait()}", log.read_text()]


@pytest.mark.slow
async def test_a_load_finds_a_killed_gateway_and_nothing_in_a_rollout(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """`python -m chaos during` sees no refusal while a gateway is replaced, and sees its death."""
    await topology.apply(amqp_url, RetrySchedule.parse(SCHEDULE))
    around = StackContext(
        environ=os.environ
        | PATIENT
        | {"RINGBACK_RETRY_SCHEDULE": SCHEDULE, "RINGBACK_TRACE_FILE": ""},
        amqp_url=amqp_url,
        database_urls=urls_by_role(database_url),
        ports=ServicePorts(),
        jwt_secret=JWT_SECRET,
        state_dir=tmp_path,
        management_url=None,
    )
    async with (
        replicas("metrics", 1, around) as (metrics,),
        replicas("processor", 1, around),
        replicas("gateway", 2, around) as gateways,
        balanced(gateways) as balancer,
    ):
        url = balancer.url
        async with under_load(url, metrics.grpc_address, tmp_path / "rollout.jsonl") as rollout:
            await balancer.replace(gateways[0])
        async with under_load(url, metrics.grpc_address, tmp_path / "death.jsonl") as death:
            await kill(gateways[0], balancer)

    status, output = rollout
    assert status == "exit status 0", output
    assert "0 refused, 0 without an answer" in output
    assert "Lost: 0." in output
    status, output = death
    assert status == "exit status 1", output
    assert "0 refused, 0 without an answer" not in output
    assert "Lost: 0." in output
