"""The fixtures of other tests work as documented."""

# ruff: file-ignore[suspicious-subprocess-import] - a child is what one test is about.
import asyncio
import subprocess
import sys
import time

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


async def test_eventually_raises_what_the_check_last_asserted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the deadline passes, the failure is the one of the check, not a bare timeout."""
    monkeypatch.setattr("tests.support.eventually.PATIENCE_S", 0)

    def check() -> bool:
        raise AssertionError("three rows, not four")

    with pytest.raises(AssertionError, match="three rows"):
        await eventually(check, deadline_s=0.1)


async def test_a_busy_machine_gets_more_time_than_a_wait_asks_for() -> None:
    """What comes later than a test expected has come all the same."""
    began = time.monotonic()

    assert await eventually(lambda: time.monotonic() - began > 0.3, deadline_s=0.1)


def test_children_of_tests_heed_an_interrupt() -> None:
    """Also where a script runs the tests in the background, and so has them ignore interrupts."""
    program = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert said.stdout == b"True\n"
