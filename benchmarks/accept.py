"""How many webhooks a second Ringback's gateway and a plain handler accept, alternating."""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import asyncpg

from benchmarks.bench_stack import BenchStack
from benchmarks.plain_server import QUEUE as PLAIN_QUEUE
from benchmarks.process_usage import peak_mib
from ringback.contract.topology import WORK_QUEUE
from ringback.local.ports import free_ports

_SETTLE_S = 3.0
_OPEN = {"RINGBACK_ALLOW_UNAUTHENTICATED": "true"}
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
    stack: BenchStack, options: AcceptOptions, report: Callable[[str], None]
) -> Accepted:
    """Load both alternately. The gateway's last round stays in the work queue."""
    (plain_port,) = free_ports(1)
    plain_url = f"http://127.0.0.1:{plain_port}/"
    plain = stack.process(
        "benchmarks.plain_server", stack.amqp_url, str(plain_port), ready_url=plain_url
    )
    plain_rounds, ringback_rounds = [], []
    async with stack.gateway(**_OPEN) as (gateway, gateway_url), plain:
        for number in range(1, options.rounds + 1):
            await stack.purge(PLAIN_QUEUE)
            await stack.purge(WORK_QUEUE)
            plain_rounds.append(await load(stack, plain_url, PLAIN_QUEUE, options))
            report(f"round {number}: plain handler {plain_rounds[-1].per_second:,.0f}/s")
            await stack.purge(PLAIN_QUEUE)
            ringback_rounds.append(await load(stack, gateway_url, WORK_QUEUE, options))
            report(f"round {number}: gateway       {ringback_rounds[-1].per_second:,.0f}/s")
        gateway_peak_mib = peak_mib(gateway.pid)
    connection = await asyncpg.connect(stack.database_url)
    pending_rows = await connection.fetchval(_COUNT_PENDING)
    await connection.close()
    return Accepted(plain_rounds, ringback_rounds, gateway_peak_mib, pending_rows)


async def accept_calmly(stack: BenchStack, options: AcceptOptions) -> Round:
    """Load a gateway that is not busy, so that its pending rows carry their payloads."""
    async with stack.gateway(**_OPEN) as (_, url):
        return await load(stack, url, WORK_QUEUE, options)


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
        raise SystemExit("The load client failed; its error is above.")
    ids = await asyncio.to_thread(job_ids.read_text, encoding="utf-8")
    return Round(**json.loads(printed), stored=await stack.depth(queue), job_ids=ids.split())
