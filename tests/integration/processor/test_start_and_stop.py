"""How a processor starts, or says why not, and what it finishes when it is stopped."""

from pathlib import Path

import pytest

from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage, scripted
from tests.support.eventually import eventually


async def test_a_handler_longer_than_the_deadline_makes_no_attempt(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """It is cut, nothing is written about it, and the next process begins the attempt again."""
    process, gate = start(stage.place, drain_timeout_s="0.3"), tmp_path / "gate"
    kinds = ("plain", "transaction")
    jobs = [await stage.send(scripted(kind, gate=str(gate))) for kind in kinds]
    for job_id in jobs:
        await stage.until_run(job_id)

    process.terminate()

    assert await process.ended(deadline_s=5) == 0
    for job_id in jobs:
        assert not await stage.attempts(job_id)
    gate.touch()
    start(stage.place)
    for job_id in jobs:
        row = await stage.until(job_id, "completed")
        assert row["attempts"] == 1
    assert await stage.effects(jobs[1]) == 1


async def test_a_handler_that_ignores_its_cancellation_does_not_delay_the_end(
    stage: Stage, start: Starter
) -> None:
    """It cannot keep its webhook after its timeout, nor the process after a stop request."""
    process = start(stage.place, drain_timeout_s="0.1", attempt_timeout_s="0.2")
    job_id = await stage.send(scripted("plain", stubborn=True))
    [attempt, *_] = await eventually(lambda: stage.attempts(job_id))
    assert attempt["error_class"] == "timeout"

    process.terminate()

    assert await process.ended(deadline_s=8) == 0


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


HOOKED = """
import asyncio, pathlib
from ringback.handlers import handles, on_start, on_stop

def say(words):
    print(words, flush=True)

@on_start
async def opened():
    say("opened")

@on_stop
def closed():
    say("closed")

@on_stop
def fails():
    raise ValueError("cannot close")

@handles("hang", "slow")
async def handler(event):
    say("began")
    while not pathlib.Path(event.message["gate"]).exists():
        await asyncio.sleep(0.01)
    say("ended")
"""


async def test_hooks_run_before_the_first_and_after_the_last_webhook(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """A stop waits for the webhook in flight first. A failing stop hook is logged."""
    (tmp_path / "hooked.py").write_text(HOOKED, encoding="utf-8")
    gate = tmp_path / "gate"
    waiting = await stage.send({"message": {"type": "slow", "gate": str(gate)}})
    process = start(stage.place, handlers="hooked", pythonpath=str(tmp_path))
    await stage.until(waiting, "processing")

    process.terminate()
    await eventually(lambda: process.lines("processor.stopping"))
    gate.touch()

    assert await process.ended() == 0
    said = [line for line in process.output().splitlines() if not line.startswith("{")]
    assert said == ["opened", "began", "ended", "closed"]
    [failed] = process.lines("handler.stop_failed")
    assert (failed["hook"], failed["reason"]) == ("hooked.fails", "ValueError")
    # The type is not one of Vapi's, and near none of them.
    [unknown] = process.lines("handler.type_unknown")
    assert "hooked.handler handles slow" in str(unknown["message"])


BROKEN = """
from ringback.handlers import on_start

@on_start
def opened():
    raise OSError("no crm")
"""


@pytest.mark.slow
async def test_a_processor_with_a_broken_hook_does_not_start(
    place: Place, start: Starter, tmp_path: Path
) -> None:
    """It says why in a sentence."""
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")

    process = start(place, handlers="broken", pythonpath=str(tmp_path))

    assert await process.ended() == 1
    assert "The hook broken.opened failed: OSError: no crm" in process.output()
    assert "Traceback" not in process.output()
    assert not process.lines("processor.ready")
