"""Bodies that are rejected, and bodies that are accepted although PostgreSQL cannot store them."""

import asyncio
import json

import pytest
from aio_pika.abc import AbstractChannel

from ringback.contract.topology import WORK_QUEUE
from tests.integration.gateway.queue_reader import count_in
from tests.integration.gateway.running_gateway import RunningGateway, assert_problem


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        pytest.param(b"", "not a JSON document", id="no body"),
        pytest.param(b"{", "not a JSON document", id="not JSON"),
        pytest.param(b"[]", "not a JSON object", id="not an object"),
        pytest.param(b"{}", "no message.type", id="no type"),
        pytest.param(b'{"message": {}}', "no message.type", id="no type in the message"),
        pytest.param(b'{"type": ""}', "no message.type", id="empty type"),
        pytest.param(b'{"message": {"type": 7}}', "not a text", id="type is no text"),
        pytest.param(
            json.dumps({"type": "x" * 256}).encode(), "longer than 255", id="type too long"
        ),
        pytest.param(
            json.dumps({"type": "ä" * 128}, ensure_ascii=False).encode(),
            "longer than 255",
            id="type too long in bytes",
        ),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "nested too deeply", id="deep arrays"),
        pytest.param(
            b'{"type":"x","y":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            "nested too deeply",
            id="deep arrays in an object",
        ),
        pytest.param(
            b'{"type":"x","y":' + b"[" * 300 + b"]" * 300 + b"}", "nested too deeply", id="deep"
        ),
        pytest.param(b'{"type": "x", "y": NaN}', "not a JSON document", id="NaN"),
        pytest.param(b'{"type": "x", "y": "\xff"}', "not a JSON document", id="not UTF-8"),
        pytest.param(b'{"type": "x", "y": Infinity}', "not a JSON document", id="Infinity"),
        pytest.param(b'{"type": "x"}{"type": "y"}', "not a JSON document", id="two documents"),
        pytest.param(b'[{"type": "x"},{"type": "y"}]', "not a JSON object", id="two events"),
        pytest.param(b'[[{"type": "x"}]]', "not a JSON object", id="a list in a list"),
        pytest.param(b'"type"', "not a JSON object", id="text"),
    ],
)
async def test_rejects_invalid_events(gateway: RunningGateway, body: bytes, detail: str) -> None:
    """With 400 and a reason."""
    answer = await gateway.send(body)

    assert_problem(answer, 400, detail)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"type":"hang","y":"a\\u0000b"}', id="NUL in a string"),
        pytest.param(b'{"type":"ha\\u0000ng"}', id="NUL in the type"),
        pytest.param(b'{"type":"hang","call":{"id":"a\\u0000"}}', id="NUL in the call id"),
        pytest.param(
            b'{"type":"hang","call":{"id":"\\ud800"},"timestamp":1}', id="surrogate in id"
        ),
        pytest.param(b'{"type":"hang","y":"\\ud800"}', id="lone surrogate"),
        pytest.param(b'{"type":"hang","\\ud800":1}', id="lone surrogate in a key"),
        pytest.param(b'{"type":"hang","y":1e400000}', id="1e400000"),
        pytest.param(
            b'{"type":"hang","y":[' + b",".join([b"1e130000"] * 12_000) + b"]}",
            id="12,000 times 1e130000",
        ),
        pytest.param(b'{"type":"hang","timestamp":1e130000,"call":{"id":"c"}}', id="vast time"),
        pytest.param(b'{"type":"hang","y":' + b"9" * 10_000 + b"}", id="10,000 digits"),
        pytest.param(b'{"type":"hang","y":1,"y":2}', id="duplicate keys"),
        pytest.param(b'{"type":"hang","call":{"id":7},"artifact":[],"timestamp":[]}', id="shapes"),
        pytest.param(
            json.dumps(
                {"type": "tool-calls", "call": "x", "toolCallList": [1, {"id": {}}]}
            ).encode(),
            id="tool calls of no shape",
        ),
    ],
)
async def test_accepts_what_only_the_log_cannot_store(
    gateway: RunningGateway, channel: AbstractChannel, body: bytes
) -> None:
    """The broker stores it unchanged, and its row is written."""
    answer = await gateway.send(body)

    assert answer.status == 200
    assert await count_in(channel, WORK_QUEUE) == 1
    await _eventually_one_row_written(gateway)


async def _eventually_one_row_written(gateway: RunningGateway) -> None:
    async with asyncio.timeout(60):
        while not await gateway.metric("webhook_pending_rows_total", outcome="written"):
            assert not await gateway.metric("webhook_pending_rows_total", outcome="dropped")
            await asyncio.sleep(0.02)
