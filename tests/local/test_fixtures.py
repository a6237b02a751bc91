"""The fixtures that other tests stand on keep what they promise."""

import asyncio

import aiormq
import asyncpg
import pytest

from ringback.local.broker import PrivateBroker
from tests.support.eventually import eventually


async def test_a_test_has_a_virtual_host_of_its_own(amqp_url: str, broker: PrivateBroker) -> None:
    """A queue declared in one test's virtual host is not in another one."""
    mine = await aiormq.connect(amqp_url)
    theirs = await aiormq.connect(broker.amqp_url())

    await (await mine.channel()).queue_declare("only-here", auto_delete=True)

    with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity):
        await (await theirs.channel()).queue_declare("only-here", passive=True)
    await mine.close()
    await theirs.close()


@pytest.mark.parametrize("turn", [1, 2])
async def test_a_test_has_a_migrated_database_of_its_own(database_url: str, turn: int) -> None:
    """What one test writes is not there for the next one, but the delivery log is."""
    connection = await asyncpg.connect(database_url)

    await connection.execute("CREATE TABLE mine (turn int)")
    await connection.execute("INSERT INTO mine VALUES ($1)", turn)
    logged = await connection.fetchval("SELECT count(*) FROM webhook_delivery_log")

    assert logged == 0
    await connection.close()


async def test_eventually_gives_the_first_truthy_answer() -> None:
    """A check may raise AssertionError or give nothing until it gives something."""
    answers = iter([AssertionError("not yet"), None, "here"])

    async def check() -> str | None:
        await asyncio.sleep(0)
        answer = next(answers)
        if isinstance(answer, AssertionError):
            raise answer
        return answer

    got = await eventually(check)

    assert got == "here"


async def test_eventually_raises_what_the_check_last_asserted() -> None:
    """When the deadline passes, the failure is the one of the check, not a bare timeout."""

    def check() -> bool:
        raise AssertionError("three rows, not four")

    with pytest.raises(AssertionError, match="three rows"):
        await eventually(check, deadline_s=0.1)
