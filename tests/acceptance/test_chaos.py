"""The chaos suite in short: four parts die in turn under one load, and two are hard to reach."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chaos.episode import play
from chaos.fault import Fault, Part
from chaos.registry import named
from chaos.stage import JWT_SECRET, Stage, running_stage
from tests.acceptance.whole import ROOT

FAULTS = named(
    [
        *["gateway-killed", "processor-killed", "broker-killed", "database-killed"],
        *["broker-link-reset", "database-terminates"],
    ]
)
RATE_PER_S = 30.0
SETTLED_S = 5.0
BETWEEN_S = 1.0


@asynccontextmanager
async def one_after_the_other(stage: Stage) -> AsyncGenerator[None, None]:
    for fault in FAULTS:
        async with fault.strike(stage):
            await asyncio.sleep(BETWEEN_S)
        await stage.ready()
    yield


ALL_DIE = Fault(
    name="all-die",
    sentence="SIGKILL of gateway, processor, RabbitMQ and PostgreSQL; links and sessions end.",
    part=Part.CLIENTS,
    strike=one_after_the_other,
    may_not_answer=True,
)


async def checked(stage: Stage, *where: str) -> tuple[int | None, str]:
    """Run the check as a person does; return its exit status and its output."""
    ledger = stage.folder / f"{ALL_DIE.name}.jsonl"
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "chaos", "check", "--ledger", str(ledger), *where],
        env={"PATH": os.environ["PATH"], "RINGBACK_JWT_SECRET": JWT_SECRET},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


@pytest.mark.nodes
@pytest.mark.slow
async def test_all_die_and_nothing_is_lost(tmp_path: Path) -> None:
    """Everything accepted ends exactly once. The check agrees, and finds what we then spoil."""
    async with running_stage(tmp_path) as stage:
        await stage.settled(SETTLED_S)
        by_database = ("--database", stage.database.url())
        by_metrics = ("--metrics", f"127.0.0.1:{stage.ports.metrics_grpc}")

        outcome = await play(stage, ALL_DIE, per_s=RATE_PER_S)
        checks = [await checked(stage, *by_database), await checked(stage, *by_metrics)]
        async with stage.connection() as connection:
            await connection.execute(
                "INSERT INTO chaos.effects (event, job_id, attempt)"
                " SELECT event, job_id, attempt FROM chaos.effects LIMIT 1"
            )
            await connection.execute(
                "DELETE FROM webhook_delivery_log WHERE id IN (SELECT id FROM webhook_delivery_log"
                " WHERE event_type = 'ringback.chaos.light' AND status = 'completed'"
                " AND call_id NOT IN (SELECT call_id FROM webhook_delivery_log"
                " WHERE status = 'duplicate') LIMIT 1)"
            )
        spoiled = await checked(stage, *by_database)

        assert outcome.broken == ()
        assert outcome.verdict.accepted > 100
        assert outcome.verdict.duplicates > 0
        for status, output in checks:
            assert status == 0, output
            assert "Lost: 0." in output
            assert "Finished twice: 0." in output
        assert spoiled[0] == 1
        assert "Lost: 1." in spoiled[1]
        assert "Finished twice: 1." in spoiled[1]
