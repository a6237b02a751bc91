"""Destinations of handlers: their state is reported, and people can force it."""

from typing import Any

import orjson

from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import ProcessorProcess
from tests.integration.processor.stage import Stage, rows
from tests.support.answering_backend import Backend, backend
from tests.support.calling_handler import CALL_TYPE
from tests.support.eventually import eventually

CALLING = "tests.support.calling_handler"


def calling(server: Backend, path: str = "/flap") -> dict[str, Any]:
    return {"message": {"type": CALL_TYPE, "url": server.url(path)}}


async def reported(stage: Stage) -> dict[str, Any]:
    """What the only processor reports of the only destination."""
    [row] = await rows(stage)
    [destination] = orjson.loads(row["destinations"])
    assert destination["name"] == "backend"
    return dict(destination)


async def until_state(stage: Stage, state: str) -> dict[str, Any]:
    async def there() -> dict[str, Any]:
        destination = await reported(stage)
        assert destination["state"] == state
        return destination

    return await eventually(there)


async def force(stage: Stage, state: str | None) -> bool:
    is_known = await stage.database.fetchval(
        "SELECT set_webhook_destination('backend', $1, 'ada', 'service', 'a test')", state
    )
    return bool(is_known)


def states(process: ProcessorProcess) -> list[object]:
    return [line["state"] for line in process.lines("destination.changed")]


async def test_a_dead_destination_is_reported_until_it_answers(
    stage: Stage, start: Starter
) -> None:
    async with backend() as server:
        process = start(stage.place, handlers=CALLING)
        await eventually(lambda: rows(stage))
        closed = await until_state(stage, "closed")

        server.is_down = True
        for _ in range(5):
            await stage.send(calling(server, "/500"))
        opened = await until_state(stage, "open")
        first = process.lines("destination.changed")[0]

    assert (closed["last_error"], closed["in_flight"], closed["retry_at"]) == (None, 0, None)
    assert opened["last_error"] == "HTTP 500"
    assert opened["retry_at"] is not None
    assert (first["destination"], first["state"], first["level"]) == ("backend", "open", "warning")
    assert (first["error"], first["forced"]) == ("HTTP 500", False)


async def test_a_person_s_decision_applies_at_once_and_after_a_restart(
    stage: Stage, start: Starter
) -> None:
    """While the destination is kept open, nothing calls it."""
    async with backend() as server:
        process = start(stage.place, handlers=CALLING)
        await eventually(lambda: rows(stage))

        assert await force(stage, "open")
        await until_state(stage, "open")
        process.terminate()
        assert await process.ended() == 0
        following = start(stage.place, handlers=CALLING)
        await following.ready()
        await stage.send(calling(server))
        await until_state(stage, "open")
        calls_while_open = len(server.heads)
        assert await force(stage, None)
        await stage.send(calling(server))
        await eventually(lambda: "half_open" in states(following) or server.heads)

    assert calls_while_open == 0
    assert process.lines("destination.forced")[0]["states"] == {"backend": "open"}
    assert following.lines("destination.forced")[-1]["states"] == {}


async def test_an_outage_costs_only_the_attempts_that_notice_it(
    stage: Stage, start: Starter
) -> None:
    """The other webhooks wait. After the outage, all are completed."""
    async with backend() as server:
        server.is_down = True
        process = start(stage.place, handlers=CALLING)
        jobs = [await stage.send(calling(server)) for _ in range(60)]

        async def most_wait() -> bool:
            waiting = await stage.database.fetchval(
                "SELECT count(*) FROM webhook_waits WHERE destination = 'backend'"
            )
            return int(waiting) >= 50

        await eventually(most_wait, deadline_s=30)
        failed_calls = len(server.heads)
        server.is_down = False
        for job_id in jobs:
            await stage.until(job_id, "completed", deadline_s=60)

    failed = await stage.database.fetchval(
        "SELECT count(*) FROM webhook_delivery_attempts WHERE outcome = 'failed'"
    )
    # Five open the breaker, three more may be in flight then, and each probe that fails. Only the
    # calls before it opened use an attempt.
    assert failed <= 4
    assert failed_calls <= 5 + 3 + states(process).count("open")
    assert states(process)[-1] == "closed"
