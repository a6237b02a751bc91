"""What a private RabbitMQ node promises."""

import asyncio
import re
import shutil
from pathlib import Path

import aiohttp
import aiormq
import pytest

from ringback.local.account import elsewhere
from ringback.local.broker import PrivateBroker
from ringback.local.child import LocalStackError
from tests.support.eventually import eventually
from tests.support.session_nodes import new_broker

DURABLE = aiormq.spec.Basic.Properties(delivery_mode=2)


@pytest.mark.slow
async def test_confirmed_messages_survive_a_kill(own_broker: PrivateBroker) -> None:
    connection = await aiormq.connect(own_broker.amqp_url())
    channel = await connection.channel()
    await channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
    # A queue younger than about a second can lose its leader permanently when killed, and a busy
    # machine needs longer.
    await asyncio.sleep(5)
    await channel.basic_publish(b"hello", routing_key="kept", properties=DURABLE)

    await own_broker.kill()
    await connection.close()
    await own_broker.start()

    connection = await aiormq.connect(own_broker.amqp_url())
    channel = await connection.channel()

    async def kept() -> bool:
        return (await channel.basic_get("kept", no_ack=True)).body == b"hello"

    await eventually(kept)
    await connection.close()


@pytest.mark.slow
@pytest.mark.nodes
@pytest.mark.parametrize("name", ["ring back ü", 'it\'s $(new) & "good"'])
async def test_the_disk_is_measured_in_any_folder(tmp_path: Path, name: str) -> None:
    """RabbitMQ gives the path to a shell: where it cannot, its metrics fail and no disk is full."""
    node = new_broker(tmp_path / name)
    await node.start()
    try:
        async with node.management() as api:

            async def disk_is_measured() -> bool:
                async with api.get("/api/nodes", raise_for_status=True) as answer:
                    [found] = await answer.json()
                return bool(found.get("disk_free", 0) > 1_000_000)

            await eventually(disk_is_measured)
        metrics = f"http://127.0.0.1:{node.ports.broker_metrics}/metrics"
        async with aiohttp.ClientSession() as client, client.get(metrics) as answer:
            output = await answer.text()
    finally:
        await node.stop()
        shutil.rmtree(elsewhere(node.data_dir))

    [free] = re.findall(r"^rabbitmq_disk_space_available_bytes (\S+)$", output, re.MULTILINE)
    assert float(free) > 1_000_000


@pytest.mark.slow
@pytest.mark.nodes
async def test_a_node_that_ends_at_once_names_its_log(tmp_path: Path) -> None:
    node = new_broker(tmp_path)
    node.settings = "no.such.setting = 1\n"

    with pytest.raises(LocalStackError, match="did not start; its log is") as raised:
        await node.start()

    assert str(node.log_path) in str(raised.value)
