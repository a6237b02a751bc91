"""The scenarios, and one trial of each: a gateway, a good client, and an attack."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.bench_stack import BenchStack
from benchmarks.hostile.good_client import GoodAnswers, send_webhooks
from benchmarks.process_usage import peak_mib, resident_mib
from ringback.contract.topology import WORK_QUEUE

SECRET = "a-secret-that-the-good-client-knows"  # ruff: ignore[hardcoded-password-string]  # of no installation
_WARM_S = 2.0
_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """`attack` is a key of `attacks.ATTACKS`. The default lasts longer than our timeouts."""

    attack: str
    connections: int
    seconds: float = 12.0


SCENARIOS = (
    Scenario("idle", 10_000),
    Scenario("slow-heads", 2_000),
    Scenario("large-heads", 1_000),
    Scenario("slow-untrusted-bodies", 2_000),
    Scenario("slow-bodies", 2_000),
    Scenario("flood", 64),
    Scenario("large-bodies", 200),
    Scenario("brackets", 32),
    Scenario("bombs", 200),
)


@dataclass(frozen=True, slots=True)
class Trial:
    scenario: Scenario
    before_mib: float
    peak_mib: float
    good: GoodAnswers
    attackers: Counter[str]


async def run_trial(stack: BenchStack, scenario: Scenario) -> Trial:
    """Attack a gateway that is new, so that its peak is this scenario's."""
    env = {
        "RINGBACK_VAPI_SECRET": SECRET,
        "RINGBACK_SPOOL_DIR": str(stack.folder / "spool"),
    }
    async with stack.gateway(**env) as (process, url):
        await send_webhooks(url, SECRET, _WARM_S)
        before_mib = resident_mib(process.pid)
        good = asyncio.create_task(send_webhooks(url, SECRET, scenario.seconds + _AFTER_S))
        attackers = await _attacked(url, scenario)
        answers = await good
        trial = Trial(scenario, before_mib, peak_mib(process.pid), answers, attackers)
    await stack.purge(WORK_QUEUE)
    return trial


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
        raise SystemExit("The attack failed; its error is above.")
    return Counter(json.loads(printed))


_HEADINGS = ("attack", "at once", "before", "peak MiB", "good client", "p50 ms", "p99 ms")


def show(trials: Sequence[Trial], console: Console) -> None:
    """A row for each scenario: memory, and the answers to good clients and to attackers."""
    table = Table(title="Under attack")
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading == "attack" else "right")
    table.add_column("answers to attackers", overflow="fold")
    for one in trials:
        table.add_row(
            one.scenario.attack,
            f"{one.scenario.connections:,}",
            f"{one.before_mib:.0f}",
            f"{one.peak_mib:.0f}",
            _counts(one.good.answers),
            f"{one.good.percentile_ms(50):.1f}",
            f"{one.good.percentile_ms(99):.1f}",
            _counts(one.attackers),
        )
    console.print(table, soft_wrap=True)


def _counts(answers: Counter[str]) -> str:
    counted = ", ".join(f"{count:,} x {word}" for word, count in sorted(answers.items()))
    return counted or "nothing"
