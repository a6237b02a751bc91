"""One scenario: a gateway, a good client, and an attack in the middle of the time."""

import asyncio
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass

from benchmarks.bench_stack import BenchStack
from benchmarks.hostile.gateway_memory import peak_mib, resident_mib
from benchmarks.hostile.good_client import Told, send_webhooks
from benchmarks.hostile.scenario import Scenario
from ringback.contract.topology import WORK_QUEUE
from ringback.local.ports import free_ports

SECRET = "a-secret-that-the-good-client-knows"  # ruff: ignore[hardcoded-password-string]  # of no installation
_WARM_S = 2.0
_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class Tried:
    scenario: Scenario
    before_mib: float
    peak_mib: float
    good: Told
    attackers: Counter[str]


async def try_out(stack: BenchStack, scenario: Scenario) -> Tried:
    """Attack a gateway that is new, so that its peak is this scenario's."""
    port, observability_port = free_ports(2)
    url = f"http://127.0.0.1:{port}/api/webhooks/vapi"
    gateway = stack.process(
        "services.gateway",
        ready_url=f"http://127.0.0.1:{observability_port}/readyz",
        RINGBACK_GATEWAY_PORT=str(port),
        RINGBACK_GATEWAY_HOST="127.0.0.1",
        RINGBACK_GATEWAY_OBSERVABILITY_PORT=str(observability_port),
        RINGBACK_VAPI_SECRET=SECRET,
        RINGBACK_SPOOL_DIR=str(stack.folder / "spool"),
    )
    async with gateway as process:
        await send_webhooks(url, SECRET, _WARM_S)
        before_mib = resident_mib(process.pid)
        good = asyncio.create_task(send_webhooks(url, SECRET, scenario.seconds + _AFTER_S))
        attackers = await _attacked(url, scenario)
        told = await good
        tried = Tried(scenario, before_mib, peak_mib(process.pid), told, attackers)
    await stack.purge(WORK_QUEUE)
    return tried


async def _attacked(url: str, scenario: Scenario) -> Counter[str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.hostile.attack", scenario.attack, url),
        f"--connections={scenario.connections}",
        f"--seconds={scenario.seconds}",
        env={**os.environ, "RINGBACK_VAPI_SECRET": SECRET},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise SystemExit("The attack could not be made; its error is above.")
    return Counter(json.loads(printed))
