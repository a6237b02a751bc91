"""While the broker cannot confirm, webhooks get 200 and wait on the gateway's own disk."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aio_pika.abc import AbstractChannel

from chaos.fault_proxy import FaultProxy
from ringback.contract.topology import WEBHOOKS, WORK_QUEUE
from ringback.local.ports import free_ports
from ringback.services.gateway.settings import GatewaySettings
from ringback.services.gateway.storage.spool.file import FILE_NAME
from ringback.services.gateway.storage.spool.quarantine import State, kept_files
from tests.integration.gateway.queue_reader import count_in
from tests.integration.gateway.running_gateway import RunningGateway, running
from tests.integration.gateway.test_process import gateway_environment, gateway_process
from tests.support.eventually import eventually
from tests.support.gateway_client import NOBODY, PATH, SECRET, Answer, settings_for

HANG = b'{"type": "hang"}'


def with_spool(amqp_url: str, database_url: str, folder: Path, **more: str) -> GatewaySettings:
    return settings_for(amqp_url, database_url, spool_dir=str(folder), **more)


async def send(gateway: RunningGateway, count: int) -> list[Answer]:
    return await asyncio.gather(*(gateway.send(HANG) for _ in range(count)))


async def spooled(gateway: RunningGateway) -> float:
    return await gateway.metric("webhook_spool_messages")


async def is_drained(gateway: RunningGateway, count: int) -> bool:
    drained = await gateway.metric("webhook_spool_drained_total")
    return drained == count and await spooled(gateway) == 0


async def test_without_a_broker_webhooks_are_spooled_and_published_after_a_restart(
    tmp_path: Path, ready_amqp_url: str, database_url: str, channel: AbstractChannel
) -> None:
    """They get their response at once, are counted, and keep their order, ids and properties."""
    async with running(with_spool(f"amqp://{NOBODY}/", database_url, tmp_path)) as first:
        answers = [await first.send(HANG) for _ in range(30)]

        assert {answer.status for answer in answers} == {200}
        assert await first.ready()
        assert await spooled(first) == 30
        assert await first.metric("webhook_spool_writes_total", outcome="spooled") == 30
        assert await first.metric("webhook_spool_oldest_age_seconds") > 0
        assert await first.metric("webhook_total", event_type="hang") == 30

    async with running(with_spool(ready_amqp_url, database_url, tmp_path)) as second:
        await eventually(lambda: is_drained(second, 30))

    queue = await channel.get_queue(WORK_QUEUE)
    messages = [await queue.get(timeout=60) for _ in range(30)]
    assert [one.message_id for one in messages] == [answer.body["jobId"] for answer in answers]
    assert {one.body for one in messages} == {HANG}
    assert all(one.headers["org_id"] and one.headers["gateway_instance_id"] for one in messages)


async def test_accepted_webhooks_survive_a_kill(
    tmp_path: Path, ready_amqp_url: str, database_url: str, channel: AbstractChannel
) -> None:
    """After a SIGKILL during a burst, every accepted id is published by the next process."""
    port, health_port = free_ports(2)
    environment = gateway_environment(f"amqp://{NOBODY}/", database_url, port, health_port)
    environment["RINGBACK_SPOOL_DIR"] = str(tmp_path)
    accepted: list[str] = []

    async with (
        gateway_process(environment) as process,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):

        async def keep_sending() -> None:
            while True:
                async with session.post(
                    PATH, json={"type": "hang"}, headers={"X-Vapi-Secret": SECRET}
                ) as answer:
                    assert answer.status == 200
                    accepted.append((await answer.json())["jobId"])

        async def has_begun() -> bool:
            try:
                async with session.get(PATH) as answer:
                    return answer.status == 405
            except aiohttp.ClientError:
                return False

        await eventually(has_begun, deadline_s=20)
        senders = [asyncio.create_task(keep_sending()) for _ in range(8)]
        await eventually(lambda: len(accepted) >= 200)
        process.service.kill()
        await process.ended()
        ends = await asyncio.gather(*senders, return_exceptions=True)
        assert all(isinstance(end, aiohttp.ClientError | OSError) for end in ends)

    async with running(with_spool(ready_amqp_url, database_url, tmp_path)) as next_life:
        await eventually(lambda: _is_empty(next_life), deadline_s=20)

    assert set(accepted) <= await published(channel)


async def _is_empty(gateway: RunningGateway) -> bool:
    drained = await gateway.metric("webhook_spool_drained_total")
    return drained > 0 and await spooled(gateway) == 0


async def test_an_outage_of_the_broker_rejects_nothing(
    tmp_path: Path, ready_amqp_url: str, database_url: str, channel: AbstractChannel
) -> None:
    """Cut off and connected again under load: every response is 200, and every webhook arrives."""
    answers: list[Answer] = []
    async with (
        FaultProxy.to(ready_amqp_url) as proxy,
        running(with_spool(proxy.through(ready_amqp_url), database_url, tmp_path)) as gateway,
    ):
        answers += await send(gateway, 10)
        sending = asyncio.Event()
        sending.set()

        async def keep_sending() -> None:
            while sending.is_set():
                answers.append(await gateway.send(HANG))
                await asyncio.sleep(0.01)

        senders = asyncio.gather(*(keep_sending() for _ in range(2)))
        proxy.refuse()
        await eventually(lambda: spooled(gateway))
        proxy.accept()
        await eventually(lambda: _is_empty(gateway), deadline_s=30)
        sending.clear()
        await senders

        assert {answer.status for answer in answers} == {200}
        assert await gateway.metric("webhook_total", event_type="hang") == len(answers)
    assert await count_in(channel, WORK_QUEUE) >= len(answers)


async def test_a_silent_connection_delays_few_senders(
    tmp_path: Path, ready_amqp_url: str, database_url: str, channel: AbstractChannel
) -> None:
    """Only those wait whose confirm is already pending."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy.to(ready_amqp_url))
        settings = with_spool(
            proxy.through(ready_amqp_url), database_url, tmp_path, spool_after_s="1"
        )
        gateway = await stack.enter_async_context(running(settings))
        assert (await gateway.send(HANG)).status == 200

        proxy.silence()
        first = await send(gateway, 5)
        later = await send(gateway, 20)
        proxy.release()

        assert {answer.status for answer in [*first, *later]} == {200}
        await eventually(lambda: is_drained(gateway, 25), deadline_s=20)
    assert await count_in(channel, WORK_QUEUE) >= 26


async def test_a_rejected_webhook_is_published_again(
    tmp_path: Path,
    ready_amqp_url: str,
    database_url: str,
    channel: AbstractChannel,
) -> None:
    """A webhook that a full queue rejects waits in the spool until the queue accepts it."""
    async with running(with_spool(ready_amqp_url, database_url, tmp_path)) as gateway:
        full = await channel.declare_queue(
            "full", durable=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
        )
        await full.bind(WEBHOOKS, "attempt.*")

        answers = await send(gateway, 3)
        await full.delete()

        assert {answer.status for answer in answers} == {200}
        await eventually(lambda: is_drained(gateway, 3))


async def published(channel: AbstractChannel) -> set[str]:
    queue = await channel.get_queue(WORK_QUEUE)
    waiting = await count_in(channel, WORK_QUEUE)
    return {str((await queue.get(timeout=60)).message_id) for _ in range(waiting)}


async def test_the_readable_webhooks_of_a_damaged_file_are_published(
    tmp_path: Path, ready_amqp_url: str, database_url: str, channel: AbstractChannel
) -> None:
    """The first page contains no webhook, so all are published. The file is kept and counted."""
    async with running(with_spool(f"amqp://{NOBODY}/", database_url, tmp_path)) as gateway:
        answers = [await gateway.send(HANG) for _ in range(60)]
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.write(b"\xff" * 4096)

    async with running(with_spool(ready_amqp_url, database_url, tmp_path)) as gateway:
        await eventually(lambda: _is_empty(gateway), deadline_s=30)

        assert await gateway.metric("webhook_spool_damaged", kind="file") == 1

    assert await published(channel) >= {answer.body["jobId"] for answer in answers}
    assert [kept.state for kept in kept_files(tmp_path / FILE_NAME)] == [State.SALVAGED]
