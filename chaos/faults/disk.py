"""A full disk: the spool's while the broker is down, or the broker's own."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from chaos import extra_webhooks
from chaos.fault import Fault, Part
from chaos.load.webhook import Kind, special
from chaos.stage import Stage

_HOLD_S = 5.0
_BROKER_FULL_S = 10.0
_CHANGES_WITHIN_S = 10.0
_ENDS_WITHIN_S = 60.0
_LARGE_BYTES = 1_000_000
_MAX_LARGE = 60
_POLL_S = 0.2
_REFUSED = 503
_ACCEPTED = 200


@asynccontextmanager
async def _full(stage: Stage) -> AsyncGenerator[None, None]:
    """The disk is full, has room, and is full again when the broker is back."""
    job_ids: list[str] = []
    stage.broker_link.refuse()
    try:
        await _fill(stage, job_ids)
        await _until(
            stage, _REFUSED, job_ids, otherwise="No webhook was refused although the disk was full."
        )
        yield
        if stage.spool_disk.is_own:
            stage.spool_disk.make_room()
            await _until(
                stage,
                _ACCEPTED,
                job_ids,
                otherwise="The gateway did not notice the free space on the disk.",
            )
            stage.spool_disk.fill()
        stage.broker_link.accept()
        await _until(
            stage,
            _ACCEPTED,
            job_ids,
            otherwise="The gateway did not notice that the broker was back.",
        )
    finally:
        stage.spool_disk.make_room()
        stage.broker_link.accept()
    await extra_webhooks.all_complete(stage, job_ids, within_s=_ENDS_WITHIN_S)


@asynccontextmanager
async def _broker_full(stage: Stage) -> AsyncGenerator[None, None]:
    """RabbitMQ does not recover on its own when there is room: it must be restarted.

    Its quorum queues share one log, which fails at the second write without room. If we cannot fill
    its disk, its disk alarm is used instead.
    """
    if stage.broker_disk.is_own:
        await asyncio.to_thread(stage.broker_disk.fill)
    else:
        await stage.broker.control("set_disk_free_limit", "900000GB")
    try:
        yield
    finally:
        stage.broker_disk.make_room()
        await stage.broker.stop()
        await stage.broker.start()


async def _fill(stage: Stage, job_ids: list[str]) -> None:
    """If the spool has no disk of its own, large webhooks fill it to its own limit instead."""
    if stage.spool_disk.is_own:
        stage.spool_disk.fill()
    else:
        await _fill_by_webhooks(stage, job_ids)


async def _fill_by_webhooks(stage: Stage, job_ids: list[str]) -> None:
    for _ in range(_MAX_LARGE):
        body = special(f"large-{time.time_ns()}", Kind.LIGHT, padding_bytes=_LARGE_BYTES)
        _, job_id = await extra_webhooks.offer(stage, body)
        if job_id is None:
            return
        job_ids.append(job_id)


async def _until(stage: Stage, wanted: int, job_ids: list[str], *, otherwise: str) -> None:
    """Offer extra webhooks until one gets this answer; those accepted are recorded."""

    async def is_answered() -> bool:
        body = special(f"full-{time.time_ns()}", Kind.WRITTEN)
        status, job_id = await extra_webhooks.offer(stage, body)
        if job_id is not None:
            job_ids.append(job_id)
        return status == wanted

    await stage.until(is_answered, within_s=_CHANGES_WITHIN_S, otherwise=otherwise, every_s=_POLL_S)


FAULTS = (
    Fault(
        name="spool-disk-full",
        sentence="RabbitMQ cannot be reached and the disk of the spool is full for 5 s.",
        part=Part.BROKER,
        strike=_full,
        hold_s=_HOLD_S,
        may_refuse=True,
        is_mixed=False,
    ),
    Fault(
        name="broker-disk-full",
        sentence="The disk of RabbitMQ is full for 10 s; then it has room, and RabbitMQ restarts.",
        part=Part.BROKER,
        strike=_broker_full,
        hold_s=_BROKER_FULL_S,
        is_mixed=False,
    ),
)
