"""Bodies that JSONB cannot store unchanged: processed anyway, and marked as altered."""

import orjson
import pytest

from ringback.contract.topology import WORK_QUEUE
from tests.integration.processor.stage import ORG, Stage

_HEAD = '"type":"hang","call":{"id":"hostile"}'

HOSTILE = {
    "a NUL": rf'{{"message":{{{_HEAD},"a":"x\u0000y"}}}}',
    "a NUL in a key": rf'{{"message":{{{_HEAD},"x\u0000y":1}}}}',
    "a lone surrogate": rf'{{"message":{{{_HEAD},"a":"\ud800"}}}}',
    "a number beyond any range": f'{{"message":{{{_HEAD},"a":1e400000}}}}',
    "a number of a hundred thousand digits in print": f'{{"message":{{{_HEAD},"a":1e130000}}}}',
    "a very small number": f'{{"message":{{{_HEAD},"a":1e-400000}}}}',
    "an integer of ten thousand digits": f'{{"message":{{{_HEAD},"a":{"9" * 10_000}}}}}',
    "the same key twice": f'{{"message":{{{_HEAD},"a":1,"a":2}}}}',
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_body_is_completed_and_marked(shared: Stage, name: str) -> None:
    """There is no pending row: the processor itself stores what can be stored."""
    job_id = await shared.send(HOSTILE[name].encode())

    row = await shared.until(job_id, "completed")

    assert row["altered"]
    assert row["attempts"] == 1
    stored = orjson.loads(row["event_data"])
    assert stored["message"]["call"] == {"id": "hostile"}
    assert len(row["event_data"]) < 11_000


async def test_hostile_values_in_every_place_that_is_kept(shared: Stage) -> None:
    """The texts for separate columns are cleaned too."""
    nasty = r"x\u0000\ud800y"
    body = (
        f'{{"message":{{"type":"end-of-call-report","call":{{"id":"{nasty}","type":"{nasty}"}},'
        f'"summary":"{nasty}","endedReason":"{nasty}","transcript":"{nasty}","cost":1e308,'
        f'"durationSeconds":-1e-320,"startedAt":"0001-01-01T00:00:00+14:00",'
        f'"endedAt":"9999-12-31T23:59:59-14:00","timestamp":1e999}}}}'
    )

    job_id = await shared.send(body.encode())

    row = await shared.until(job_id, "completed")
    [call] = await shared.database.fetch(
        "SELECT * FROM voice_calls WHERE org_id = $1 AND call_id = $2", ORG, row["call_id"]
    )
    assert call["summary"] == call["transcript"] == "x��y"


async def test_one_hostile_webhook_costs_its_company_nothing(shared: Stage) -> None:
    """They share a commit; each gets its own end."""
    hostile = [body.encode() for body in HOSTILE.values()]
    plain = b'{"message":{"type":"hang"}}'
    bodies = [body for nasty in hostile for body in (nasty, plain)]
    jobs = [await shared.send(body) for body in bodies]

    rows = [await shared.until(job_id, "completed") for job_id in jobs]

    assert [row["altered"] for row in rows] == [True, False] * len(hostile)
    await shared.until_empty(WORK_QUEUE)
