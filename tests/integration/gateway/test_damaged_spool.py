"""A damaged spool blocks neither the other webhooks in it nor new ones."""

from pathlib import Path

from aio_pika.abc import AbstractChannel

from ringback.contract.topology import WORK_QUEUE
from services.gateway.settings import GatewaySettings
from services.gateway.storage.spool.file import FILE_NAME
from services.gateway.storage.spool.quarantine import State, kept_files
from tests.integration.gateway.queue_reader import count_in
from tests.integration.gateway.running_gateway import RunningGateway, running
from tests.support.eventually import eventually
from tests.support.gateway_client import NOBODY, settings_for
from tests.unit.gateway.storage.spool.damage import ROW_DAMAGES, change_row

HANG = b'{"type": "hang"}'
COUNT = 60


def with_spool(amqp_url: str, database_url: str, folder: Path) -> GatewaySettings:
    return settings_for(amqp_url, database_url, spool_dir=str(folder))


async def spool_some(folder: Path, database_url: str) -> set[str]:
    """Accept webhooks without a broker, and return their job ids in any order."""
    async with running(with_spool(f"amqp://{NOBODY}/", database_url, folder)) as gateway:
        answers = [await gateway.send(HANG) for _ in range(COUNT)]
    assert {answer.status for answer in answers} == {200}
    return {str(answer.body["jobId"]) for answer in answers}


async def published(channel: AbstractChannel) -> set[str]:
    queue = await channel.get_queue(WORK_QUEUE)
    waiting = await count_in(channel, WORK_QUEUE)
    return {str((await queue.get()).message_id) for _ in range(waiting)}


async def is_empty(gateway: RunningGateway) -> bool:
    drained = await gateway.metric("webhook_spool_drained_total")
    return drained > 0 and await gateway.metric("webhook_spool_messages") == 0


async def test_all_but_the_damaged_row_are_published(
    tmp_path: Path, ready_amqp_url: str, database_url: str, channel: AbstractChannel
) -> None:
    """Even if it is the first one; it is counted, and new webhooks go to the broker."""
    accepted = await spool_some(tmp_path, database_url)
    change_row(tmp_path / FILE_NAME, ROW_DAMAGES["a header cut by a byte"], 1)

    async with running(with_spool(ready_amqp_url, database_url, tmp_path)) as gateway:
        await eventually(lambda: is_empty(gateway), deadline_s=30)
        new = (await gateway.send(HANG)).body["jobId"]

        assert await gateway.metric("webhook_spool_damaged", kind="row") == 1
        assert await gateway.metric("ringback_broker_breaker_open") == 0
        assert await gateway.metric("webhook_spool_messages") == 0

    found = await published(channel)
    assert len(found & accepted) == COUNT - 1
    assert new in found


async def test_the_readable_webhooks_of_a_damaged_file_are_published(
    tmp_path: Path, ready_amqp_url: str, database_url: str, channel: AbstractChannel
) -> None:
    """The first page contains no webhook, so all are published. The file is kept and counted."""
    accepted = await spool_some(tmp_path, database_url)
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.write(b"\xff" * 4096)

    async with running(with_spool(ready_amqp_url, database_url, tmp_path)) as gateway:
        await eventually(lambda: is_empty(gateway), deadline_s=30)

        assert await gateway.metric("webhook_spool_damaged", kind="file") == 1

    assert await published(channel) >= accepted
    assert [kept.state for kept in kept_files(tmp_path / FILE_NAME)] == [State.SALVAGED]
