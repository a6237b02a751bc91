"""The few webhooks that a fault sends beside the load, and how they ended."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import aiohttp

from chaos.load.sender import job_id_in
from chaos.stage import Stage
from chaos.verdict import FINAL
from ringback.runtime.postgres.queries import load

_TIMEOUT_S = 30.0
_POLL_S = 0.3


async def send(
    stage: Stage, bodies: Sequence[bytes], *, endpoint: str = "", at_once: int = 1
) -> list[str]:
    """Send them and give their job ids; one that is not accepted is a complaint."""
    job_ids = []
    for first in range(0, len(bodies), at_once):
        batch = bodies[first : first + at_once]
        for status, job_id in await asyncio.gather(*(offer(stage, one, endpoint) for one in batch)):
            if job_id is None:
                stage.complaints.append(f"A webhook of the fault's own got the answer {status}.")
            else:
                job_ids.append(job_id)
    return job_ids


async def offer(stage: Stage, body: bytes, endpoint: str = "") -> tuple[int, str | None]:
    """Send one and give the status of its answer, and its job id if it was accepted."""
    async with (
        aiohttp.ClientSession(
            headers={"Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
        ) as client,
        client.post(f"{stage.url}/{endpoint}".rstrip("/"), data=body) as answer,
    ):
        return answer.status, job_id_in(await answer.read())


async def all_complete(stage: Stage, job_ids: Sequence[str], *, within_s: float) -> None:
    """Wait for them to end; anything but completed is a complaint."""
    ends = await ended(stage, job_ids, within_s=within_s)
    if [status for status, _ in ends.values()] != ["completed"] * len(job_ids):
        stage.complaints.append(f"The fault's own webhooks ended as {sorted(ends.values())}.")


async def ended(
    stage: Stage, job_ids: Sequence[str], *, within_s: float
) -> Mapping[str, tuple[str, str]]:
    """Wait for them to end, and give status and error class of each that has."""
    deadline = time.monotonic() + within_s
    while True:
        async with stage.connection() as connection:
            rows = await connection.fetch(load("chaos", "ends.sql"), sorted(job_ids))
        ends = {
            row["job_id"]: (row["status"], row["error_class"])
            for row in rows
            if row["status"] in FINAL
        }
        if len(ends) == len(job_ids) or time.monotonic() > deadline:
            return ends
        await asyncio.sleep(_POLL_S)
