"""How many webhooks a second are accepted: by Ringback's gateway and a plain handler, in turn."""

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import asyncpg

from benchmarks.bench_stack import BenchStack
from benchmarks.plain_server import QUEUE as PLAIN_QUEUE
from ringback.contract.topology import WORK_QUEUE
from ringback.local.child import Child
from ringback.local.ports import free_ports

_SETTLE_S = 3.0
_COUNT_PENDING = "SELECT count(*) FROM webhook_delivery_log"


@dataclass(frozen=True, slots=True)
class Round:
    accepted: int
    refused: int
    per_second: float
    p50_ms: float
    p99_ms: float
    stored: int
    job_ids: list[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    plain: list[Round]
    ringback: list[Round]
    gateway_peak_mib: float
    pending_rows: int

    @property
    def ratio(self) -> float:
        """The gateway's rate over the plain handler's, as the median of the pairs."""
        return median(
            mine.per_second / theirs.per_second
            for mine, theirs in zip(self.ringback, self.plain, strict=True)
        )


@dataclass(frozen=True, slots=True)
class AcceptOptions:
    rounds: int
    seconds: float
    connections: int


async def measure_accepting(
    stack: BenchStack, options: AcceptOptions, say: Callable[[str], None]
) -> Accepted:
    """Load the two in turn. The gateway's last round stays on the work queue."""
    (plain_port,) = free_ports(1)
    plain_url = f"http://127.0.0.1:{plain_port}/"
    gateway, gateway_url = _gateway(stack)
    plain = stack.process(
        "benchmarks.plain_server", stack.amqp_url, str(plain_port), ready_url=plain_url
    )
    plain_rounds, ringback_rounds = [], []
    async with gateway as gateway_process, plain:
        for number in range(1, options.rounds + 1):
            await stack.purge(PLAIN_QUEUE)
            await stack.purge(WORK_QUEUE)
            plain_rounds.append(await load(stack, plain_url, PLAIN_QUEUE, options))
            say(f"round {number}: plain handler {plain_rounds[-1].per_second:,.0f}/s")
            await stack.purge(PLAIN_QUEUE)
            ringback_rounds.append(await load(stack, gateway_url, WORK_QUEUE, options))
            say(f"round {number}: gateway       {ringback_rounds[-1].per_second:,.0f}/s")
        peak_mib = _peak_mib(gateway_process)
    connection = await asyncpg.connect(stack.database_url)
    pending_rows = await connection.fetchval(_COUNT_PENDING)
    await connection.close()
    return Accepted(plain_rounds, ringback_rounds, peak_mib, pending_rows)


async def accept_calmly(stack: BenchStack, options: AcceptOptions) -> Round:
    """Load a gateway that is not busy, so that its pending rows carry their payloads."""
    gateway, url = _gateway(stack)
    async with gateway:
        return await load(stack, url, WORK_QUEUE, options)


def _gateway(stack: BenchStack) -> tuple[AbstractAsyncContextManager[Child], str]:
    port, observability_port = free_ports(2)
    process = stack.process(
        "services.gateway",
        ready_url=f"http://127.0.0.1:{observability_port}/readyz",
        RINGBACK_GATEWAY_PORT=str(port),
        RINGBACK_GATEWAY_OBSERVABILITY_PORT=str(observability_port),
        RINGBACK_ALLOW_UNAUTHENTICATED="true",
    )
    return process, f"http://127.0.0.1:{port}/api/webhooks/vapi"


async def load(stack: BenchStack, url: str, queue: str, options: AcceptOptions) -> Round:
    job_ids = stack.folder / f"job-ids-{queue}.txt"
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.http_load",
        url,
        f"--seconds={options.seconds}",
        f"--connections={options.connections}",
        f"--job-ids={job_ids}",
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await client.communicate()
    await asyncio.sleep(_SETTLE_S)
    if client.returncode:
        raise SystemExit("The load could not be made; its error is above.")
    ids = await asyncio.to_thread(job_ids.read_text, encoding="utf-8")
    return Round(**json.loads(printed), stored=await stack.depth(queue), job_ids=ids.split())


def _peak_mib(process: Child) -> float:
    for line in Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
