"""The retry schedule is changed while webhooks wait in every retry queue, and changed back."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from chaos import retry_queues
from chaos.fault import Fault, Part
from chaos.load.webhook import Mix
from chaos.stage import JWT_SECRET, SCHEDULE, Stage
from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.ports import LOOPBACK

_OTHER = RetrySchedule.parse("700ms,1200ms,2500ms")
_SETTLE_S = 2.0
_ENDS_WITHIN_S = 120.0
_PATIENT_S = 5.0


@asynccontextmanager
async def _moved(stage: Stage) -> AsyncGenerator[None, None]:
    await retry_queues.something_on_each(stage)
    await _topology(stage, "move", "--to", str(_OTHER), "--settle", f"{_SETTLE_S:g}")
    try:
        yield
    finally:
        await _topology(stage, "move", "--to", str(SCHEDULE), "--settle", f"{_SETTLE_S:g}")


async def _topology(stage: Stage, *words: str) -> None:
    """Run the command as a person does."""
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "ringback.cli", "topology", *words],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]),
            "RINGBACK_AMQP_URL": stage.broker.amqp_url(),
            "RINGBACK_RABBITMQ_MANAGEMENT_URL": stage.broker.management_url,
            "RINGBACK_METRICS_URL": f"{LOOPBACK}:{stage.ports.metrics_grpc}",
            "RINGBACK_JWT_SECRET": JWT_SECRET,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_ENDS_WITHIN_S):
            told, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        stage.complaints.append(f"ringback topology {words[0]} did not end.")
        return
    if process.returncode:
        last = told.decode(errors="replace").strip().splitlines()[-1:]
        stage.complaints.append(f"ringback topology {words[0]} failed: {' '.join(last)}")


FAULTS = (
    Fault(
        name="retry-schedule-changed",
        sentence="The retry schedule is moved, and moved back, with webhooks on its retry queues.",
        part=Part.BROKER,
        strike=_moved,
        hold_s=_PATIENT_S,
        mix=Mix(failing_in_ten=5),
        is_mixed=False,
    ),
)
