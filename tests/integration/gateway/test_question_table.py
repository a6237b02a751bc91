"""Answered questions in the database, written and read with the roles of the services."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from ringback.contract.identity import new_job_id
from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.services.gateway.questions.answers import Answer, Reply
from ringback.services.gateway.questions.question_log import AnsweredQuestion, QuestionTable
from tests.support.database_roles import GATEWAY, PROCESSOR, TENANT, url_as
from tests.unit.gateway.questions.asking import asked


@asynccontextmanager
async def session(database_url: str, role: str) -> AsyncGenerator[asyncpg.Connection, None]:
    connection = await asyncpg.connect(url_as(database_url, role))
    try:
        yield connection
    finally:
        await connection.close()


async def write(database_url: str, *questions: AnsweredQuestion) -> None:
    async with asyncpg.create_pool(url_as(database_url, GATEWAY), min_size=1, max_size=1) as pool:
        table = QuestionTable(pool, DEFAULT_REDACTION)
        rows = [table.row(one) for one in questions]
        await table.write(rows)
        await table.write(rows)  # Writing again after an unknown result changes nothing.


async def read(database_url: str, org_id: Any) -> list[asyncpg.Record]:
    async with session(database_url, TENANT) as connection, connection.transaction():
        await connection.execute("SELECT set_config('ringback.org_id', $1, true)", str(org_id))
        rows: list[asyncpg.Record] = await connection.fetch("SELECT * FROM webhook_questions")
        return rows


def answered(answer: bytes, **message: Any) -> AnsweredQuestion:
    reply = Reply(answer=Answer(200, answer), outcome="answered", was_sent=True)
    return AnsweredQuestion(asked("assistant-request", **message).webhook, reply, 0.25)


async def test_only_a_tenant_sees_its_questions_without_credentials(database_url: str) -> None:
    question = answered(
        b'{"assistant": {"server": {"secret": "s3cret"}}, "name": "a\\u0000b"}',
        phoneNumber={"twilioAuthToken": "t0ken"},
    )
    envelope = question.webhook.envelope

    await write(database_url, question)
    [row] = await read(database_url, envelope.org_id)
    others = await read(database_url, "00000000-0000-0000-0000-0000000000ff")

    assert (row["id"], row["endpoint_id"]) == (envelope.job_id, "acme")
    assert (row["event_type"], row["call_id"]) == ("assistant-request", "call-1")
    assert (row["outcome"], row["status"], row["duration_ms"]) == ("answered", 200, 250)
    assert orjson.loads(row["question"])["message"]["call"] == {"id": "call-1"}
    assert "t0ken" not in row["question"]
    assert "s3cret" not in row["answer"]
    assert others == []
    async with session(database_url, GATEWAY) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM webhook_questions")


async def test_speech_is_not_stored(database_url: str) -> None:
    question = answered(b"\x00\xff\x01")

    await write(database_url, question)
    [row] = await read(database_url, question.webhook.envelope.org_id)

    assert row["answer"] is None


async def test_the_cleanup_deletes_old_questions(database_url: str) -> None:
    old, new = answered(b"{}"), answered(b"{}")
    month_ago = (datetime.now(UTC) - timedelta(days=31)).timestamp()
    envelope = replace(old.webhook.envelope, job_id=new_job_id(at_s=month_ago))
    old = replace(old, webhook=replace(old.webhook, envelope=envelope))
    await write(database_url, old, new)

    async with session(database_url, PROCESSOR) as connection:
        await connection.execute("CALL cleanup_old_webhook_logs(30, 1)")
    rows = await read(database_url, envelope.org_id)

    assert [row["id"] for row in rows] == [new.webhook.envelope.job_id]
