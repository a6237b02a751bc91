"""A processor that cannot start prints why in a sentence, and ends with a status that is not 0."""

from pathlib import Path

import pytest

from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage, scripted

NOWHERE = Place("amqp://guest:secret@127.0.0.1:1/", "postgresql://me:secret@127.0.0.1:1/none")


async def test_a_broker_without_topology_is_refused(
    amqp_url: str, database_url: str, start: Starter
) -> None:
    """It names what is missing and the next step."""
    process = start(Place(amqp_url, database_url))

    assert await process.ended() == 1

    said = _said(process.output())
    assert "The broker is not set up: The exchange webhooks.dead does not exist." in said
    assert said.endswith("Run `ringback topology apply`.")
    assert "Traceback" not in process.output()


async def test_another_schedule_than_that_of_the_broker_is_refused(
    stage: Stage, start: Starter
) -> None:
    """A missing retry queue would send failures to the dead letters."""
    process = start(stage.place, retry_schedule="200ms,3s")

    assert await process.ended() == 1

    assert "The queue webhooks.retry.2.3s does not exist." in _said(process.output())


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (None, "cannot be imported: ModuleNotFoundError"),
        ("VALUE = 1", "has no function with @handles(…)."),
        (
            "from ringback.handlers import handles\n@handles('a')\ndef sync(event): pass",
            "must be declared with async def",
        ),
    ],
)
async def test_handlers_that_cannot_be_used_are_one_sentence(
    start: Starter, tmp_path: Path, source: str | None, sentence: str
) -> None:
    """This is checked before anything is connected; the module is named."""
    if source is not None:
        (tmp_path / "my_handlers.py").write_text(source, encoding="utf-8")

    process = start(NOWHERE, handlers="my_handlers", pythonpath=str(tmp_path))

    assert await process.ended() == 1
    said = _said(process.output())
    assert said.startswith("RINGBACK_HANDLERS names my_handlers, which ")
    assert sentence in said
    assert "Traceback" not in process.output()


async def test_a_module_of_strange_objects_is_searched_all_the_same(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """An object that answers every question with an error is no handler, and does no harm."""
    (tmp_path / "my_handlers.py").write_text(
        "class Proxy:\n"
        "    def __getattr__(self, name):\n"
        "        raise RuntimeError('outside of a request')\n"
        "request = Proxy()\n"
        "from tests.integration.processor.handlers_scripted import plain\n",
        encoding="utf-8",
    )

    start(stage.place, handlers="my_handlers", pythonpath=str(tmp_path))

    await stage.until(await stage.send(scripted("plain")), "completed")


async def test_settings_that_cannot_be_used_are_named_together(start: Starter) -> None:
    """All mistakes at once, with exit status 2 and without the secrets."""
    process = start(NOWHERE, prefetch="0", retry_schedule="soon", amqp_url="http://me:secret@x")

    assert await process.ended() == 2

    said = process.output()
    for variable in ("RINGBACK_PREFETCH", "RINGBACK_RETRY_SCHEDULE", "RINGBACK_AMQP_URL"):
        assert variable in said
    assert "secret" not in said
    assert "Traceback" not in said


async def test_a_broker_that_is_away_at_the_start_is_waited_for(
    database_url: str, start: Starter
) -> None:
    """The processor starts, logs that, and shows no secret."""
    process = start(Place(NOWHERE.amqp_url, database_url))

    await process.ready()

    assert process.lines("broker.unavailable")
    assert "secret" not in process.output()
    process.terminate()
    assert await process.ended() == 0


def _said(output: str) -> str:
    """The lines for a person, which are not log lines. There is one."""
    [line] = [line for line in output.splitlines() if not line.startswith("{")]
    return line
