"""A broker that restarts, raises an alarm, rejects, drops consumers, or changes its topology."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aio_pika

from chaos import extra_webhooks
from chaos.fault import Fault, Part, Step, between
from chaos.load.webhook import Kind, Mix, special
from chaos.stage import JWT_SECRET, SCHEDULE, Stage
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import WEBHOOKS, WORK_BINDING, WORK_QUEUE
from ringback.local.ports import LOOPBACK

_ALARM_S = 10.0
_NOTICED_WITHIN_S = 15.0
_MESSAGES_WITHIN_S = 15.0
_COMMAND_WITHIN_S = 120.0
_HIGH_LIMIT = 1_000_000
_CHANGED_S = 5.0
_SETTLE_S = "2"
_OTHER_SCHEDULE = RetrySchedule.parse("700ms,1200ms,2500ms")
_USED_RETRY_QUEUES = 2
"""How many retry queues the webhooks of a load use."""
_FIRST_RETRY_QUEUE = SCHEDULE.retry_queues[0].queue_name


@asynccontextmanager
async def _restarted_with_retries_waiting(stage: Stage) -> AsyncGenerator[None, None]:
    await _wait_for_waiting_messages(stage)
    await stage.broker.stop()
    try:
        yield
    finally:
        await stage.broker.start()


def _memory(limit: str) -> Step:
    name = "set_vm_memory_high_watermark"
    return lambda stage: stage.broker.control(name, "absolute", limit)


def _free_disk(limit: str) -> Step:
    return lambda stage: stage.broker.control("set_disk_free_limit", limit)


@asynccontextmanager
async def _retry_queue_refuses(stage: Stage) -> AsyncGenerator[None, None]:
    pattern = f"^{_FIRST_RETRY_QUEUE.replace('.', chr(92) + '.')}$"
    limit = ("set_policy", "--apply-to", "queues", "chaos", pattern)
    await stage.broker.control(*limit, '{"max-length": 1}')
    try:
        yield
    finally:
        # Without a limit, a full queue of an older RabbitMQ never tells that it has room again
        # (rabbitmq-server#12206). A higher limit makes it tell.
        await stage.broker.control(*limit, f'{{"max-length": {_HIGH_LIMIT}}}')
        await stage.broker.control("clear_policy", "chaos")


@asynccontextmanager
async def _binding_missing(stage: Stage) -> AsyncGenerator[None, None]:
    async with await aio_pika.connect(stage.broker.amqp_url()) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(WORK_QUEUE, ensure=False)
        await queue.unbind(WEBHOOKS, WORK_BINDING.routing_key)
        try:
            await stage.until(
                lambda: _is_a_service_not_ready(stage),
                within_s=_NOTICED_WITHIN_S,
                otherwise="All services reported ready without the binding.",
            )
            yield
        finally:
            await queue.bind(WEBHOOKS, WORK_BINDING.routing_key)


async def _is_a_service_not_ready(stage: Stage) -> bool:
    return not all([await service.is_ready() for service in stage.services])


@asynccontextmanager
async def _consumer_timeout(stage: Stage) -> AsyncGenerator[None, None]:
    """Handlers take 6 s but the broker waits 2: it closes the channel of all in-flight webhooks."""
    await _set_consumer_timeout(stage, timeout_ms=2_000, check_every_ms=500)
    # A channel keeps the timeout that it was opened with.
    await stage.processor.kill()
    await stage.processor.ready(within_s=30)
    try:
        event = f"slow-{time.time_ns()}"
        slow = [
            special(f"{event}-{kind}", kind, takesSeconds=6.0)
            for kind in (Kind.WRITTEN, Kind.PLAIN)
        ]
        job_ids = await extra_webhooks.send(stage, slow)
        await extra_webhooks.all_complete(stage, job_ids, within_s=60)
        yield
    finally:
        await _set_consumer_timeout(stage, timeout_ms=1_800_000, check_every_ms=60_000)
        await stage.processor.kill()


async def _set_consumer_timeout(stage: Stage, *, timeout_ms: int, check_every_ms: int) -> None:
    await stage.broker.control(
        "eval",
        f"application:set_env(rabbit, consumer_timeout, {timeout_ms}),"
        f" application:set_env(rabbit, channel_tick_interval, {check_every_ms}).",
    )


async def _wait_for_waiting_messages(stage: Stage) -> None:
    """Wait until each retry queue that the load uses has a message, or complain."""
    async with await aio_pika.connect(stage.broker.amqp_url()) as connection:
        channel = await connection.channel()
        for retry_queue in reversed(SCHEDULE.retry_queues[:_USED_RETRY_QUEUES]):
            name = retry_queue.queue_name
            await stage.until(
                partial(_has_message, channel, name),
                within_s=_MESSAGES_WITHIN_S,
                otherwise=f"Nothing waited in {name}.",
            )


async def _has_message(channel: aio_pika.abc.AbstractChannel, queue: str) -> bool:
    found = await channel.declare_queue(queue, passive=True)
    return bool(found.declaration_result.message_count)


@asynccontextmanager
async def _schedule_changed(stage: Stage) -> AsyncGenerator[None, None]:
    await _wait_for_waiting_messages(stage)
    await _change_schedule(stage, _OTHER_SCHEDULE)
    try:
        yield
    finally:
        await _change_schedule(stage, SCHEDULE)


async def _change_schedule(stage: Stage, schedule: RetrySchedule) -> None:
    """Run the command as an operator does."""
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "ringback.cli", "topology", "change"],
        *["--to", str(schedule), "--settle", _SETTLE_S],
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
        async with asyncio.timeout(_COMMAND_WITHIN_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        stage.complaints.append("`ringback topology change` did not end.")
        return
    if process.returncode:
        last = output.decode(errors="replace").strip().splitlines()[-1:]
        stage.complaints.append(f"`ringback topology change` failed: {' '.join(last)}")


FAULTS = (
    Fault(
        name="broker-restarted-on-retry-queues",
        sentence="RabbitMQ restarts while webhooks wait in the retry queues.",
        part=Part.BROKER,
        strike=_restarted_with_retries_waiting,
        mix=Mix(failing_in_ten=8),
        is_mixed=False,
    ),
    Fault(
        name="broker-memory-alarm",
        sentence="RabbitMQ raises its memory alarm for 10 s and blocks publishers.",
        part=Part.BROKER,
        strike=between(_memory("1MB"), _memory("1GB")),
        hold_s=_ALARM_S,
    ),
    Fault(
        name="broker-disk-alarm",
        sentence="RabbitMQ raises its disk alarm for 10 s and blocks publishers.",
        part=Part.BROKER,
        strike=between(_free_disk("900000GB"), _free_disk("500MB")),
        hold_s=_ALARM_S,
    ),
    Fault(
        name="retry-queue-refuses",
        sentence="The first retry queue accepts at most one message for 10 s.",
        part=Part.BROKER,
        strike=_retry_queue_refuses,
        hold_s=_ALARM_S,
        mix=Mix(failing_in_ten=5),
    ),
    Fault(
        name="binding-missing",
        sentence="The work queue loses its binding: new webhooks become dead letters.",
        part=Part.BROKER,
        strike=_binding_missing,
        hold_s=3,
        may_dead_letter=True,
        is_mixed=False,
    ),
    Fault(
        name="consumer-timeout",
        sentence="RabbitMQ closes the channel after 2 s without an answer; handlers take 6 s.",
        part=Part.BROKER,
        strike=_consumer_timeout,
        is_mixed=False,
    ),
    Fault(
        name="retry-schedule-changed",
        sentence="The retry schedule is changed and changed back while webhooks wait in it.",
        part=Part.BROKER,
        strike=_schedule_changed,
        hold_s=_CHANGED_S,
        mix=Mix(failing_in_ten=5),
        is_mixed=False,
    ),
)
