"""A broker that restarts, raises an alarm, rejects, drops consumers, or loses a binding."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aio_pika

from chaos import retry_queues, specials
from chaos.fault import Fault, Part
from chaos.load.webhook import Kind, Mix, special
from chaos.stage import SCHEDULE, Stage
from ringback.contract.topology import WEBHOOKS, WORK_QUEUE

_ALARM_S = 10.0
_NOTICED_WITHIN_S = 15.0
_POLL_S = 0.1
_FIRST_RETRY_QUEUE = SCHEDULE.retry_queues[0].queue_name
_ALL_ATTEMPTS = "attempt.*"


@asynccontextmanager
async def _restarted_on_every_retry_queue(stage: Stage) -> AsyncGenerator[None, None]:
    await retry_queues.something_on_each(stage)
    await stage.broker.stop()
    try:
        yield
    finally:
        await stage.broker.start()


@asynccontextmanager
async def _memory_alarm(stage: Stage) -> AsyncGenerator[None, None]:
    await stage.broker.control("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        yield
    finally:
        await stage.broker.control("set_vm_memory_high_watermark", "absolute", "1GB")


@asynccontextmanager
async def _disk_alarm(stage: Stage) -> AsyncGenerator[None, None]:
    await stage.broker.control("set_disk_free_limit", "900000GB")
    try:
        yield
    finally:
        await stage.broker.control("set_disk_free_limit", "500MB")


@asynccontextmanager
async def _retry_queue_refuses(stage: Stage) -> AsyncGenerator[None, None]:
    pattern = f"^{_FIRST_RETRY_QUEUE.replace('.', chr(92) + '.')}$"
    await stage.broker.control(
        *["set_policy", "--apply-to", "queues", "chaos", pattern, '{"max-length": 1}']
    )
    try:
        yield
    finally:
        await stage.broker.control("clear_policy", "chaos")


@asynccontextmanager
async def _binding_missing(stage: Stage) -> AsyncGenerator[None, None]:
    async with await aio_pika.connect(stage.broker.amqp_url()) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(WORK_QUEUE, ensure=False)
        await queue.unbind(WEBHOOKS, _ALL_ATTEMPTS)
        try:
            await _some_service_says_so(stage)
            yield
        finally:
            await queue.bind(WEBHOOKS, _ALL_ATTEMPTS)


async def _some_service_says_so(stage: Stage) -> None:
    deadline = time.monotonic() + _NOTICED_WITHIN_S
    while all([await service.is_ready() for service in stage.services]):
        if time.monotonic() > deadline:
            stage.complaints.append("All services called themselves ready without the binding.")
            return
        await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def _consumer_timeout(stage: Stage) -> AsyncGenerator[None, None]:
    """Handlers take 6 s but the broker waits 2: it closes the channel of all in-flight webhooks."""
    await _give_up_after(stage, timeout_ms=2_000, look_every_ms=500)
    # A channel keeps the timeout that it was opened with.
    await stage.processor.kill()
    await stage.processor.ready(within_s=30)
    try:
        event = f"slow-{time.time_ns()}"
        slow = [
            special(f"{event}-{kind}", kind, takesSeconds=6.0)
            for kind in (Kind.WRITTEN, Kind.PLAIN)
        ]
        job_ids = await specials.send(stage, slow)
        ends = await specials.ended(stage, job_ids, within_s=60)
        if [status for status, _ in ends.values()] != ["completed"] * len(slow):
            stage.complaints.append(f"Slow webhooks ended as {sorted(ends.values())}.")
        yield
    finally:
        await _give_up_after(stage, timeout_ms=1_800_000, look_every_ms=60_000)
        await stage.processor.kill()


async def _give_up_after(stage: Stage, *, timeout_ms: int, look_every_ms: int) -> None:
    await stage.broker.control(
        "eval",
        f"application:set_env(rabbit, consumer_timeout, {timeout_ms}),"
        f" application:set_env(rabbit, channel_tick_interval, {look_every_ms}).",
    )


FAULTS = (
    Fault(
        name="broker-restarted-on-retry-queues",
        sentence="RabbitMQ restarts while webhooks wait on the retry queues of the retry schedule.",
        part=Part.BROKER,
        strike=_restarted_on_every_retry_queue,
        mix=Mix(failing_in_ten=8),
        is_mixed=False,
    ),
    Fault(
        name="broker-memory-alarm",
        sentence="RabbitMQ raises its memory alarm for 10 s and blocks who publishes.",
        part=Part.BROKER,
        strike=_memory_alarm,
        hold_s=_ALARM_S,
    ),
    Fault(
        name="broker-disk-alarm",
        sentence="RabbitMQ raises its disk alarm for 10 s and blocks who publishes.",
        part=Part.BROKER,
        strike=_disk_alarm,
        hold_s=_ALARM_S,
    ),
    Fault(
        name="retry-queue-refuses",
        sentence="The first retry queue takes no more than one message for 10 s.",
        part=Part.BROKER,
        strike=_retry_queue_refuses,
        hold_s=_ALARM_S,
        mix=Mix(failing_in_ten=5),
    ),
    Fault(
        name="binding-missing",
        sentence="The work queue loses its binding: what comes goes to the dead letters.",
        part=Part.BROKER,
        strike=_binding_missing,
        hold_s=3,
        may_bury=True,
        is_mixed=False,
    ),
    Fault(
        name="consumer-timeout",
        sentence="RabbitMQ waits 2 s for an answer where handlers take 6, and closes the channel.",
        part=Part.BROKER,
        strike=_consumer_timeout,
        is_mixed=False,
    ),
)
