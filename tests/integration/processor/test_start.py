"""A processor that cannot start prints why in a sentence, and ends with a status that is not 0."""

from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage

NOWHERE = Place("amqp://guest:secret@127.0.0.1:1/", "postgresql://me:secret@127.0.0.1:1/none")


async def test_a_broker_without_topology_is_refused(
    amqp_url: str, database_url: str, start: Starter
) -> None:
    """It names what is missing and the next step."""
    process = start(Place(amqp_url, database_url))

    assert await process.ended() == 1

    message = _message_of(process.output())
    assert "The broker is not set up: The exchange webhooks.dead does not exist." in message
    assert message.endswith("Run `ringback topology apply`.")
    assert "Traceback" not in process.output()


async def test_a_schedule_that_differs_from_the_broker_is_refused(
    stage: Stage, start: Starter
) -> None:
    """A missing retry queue would send failures to the dead letters."""
    process = start(stage.place, retry_schedule="200ms,3s")

    assert await process.ended() == 1

    assert "The queue webhooks.retry.2.3s does not exist." in _message_of(process.output())


async def test_an_unavailable_broker_is_waited_for_at_the_start(
    database_url: str, start: Starter
) -> None:
    """The processor starts, logs that, and shows no secret."""
    process = start(Place(NOWHERE.amqp_url, database_url))

    await process.ready()

    assert process.lines("broker.unavailable")
    assert "secret" not in process.output()
    process.terminate()
    assert await process.ended() == 0


def _message_of(output: str) -> str:
    """The lines for a person, which are not log lines. There is one."""
    [line] = [line for line in output.splitlines() if not line.startswith("{")]
    return line
