"""Questions for the tests, without a gateway in front."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from ringback.contract.identity import new_job_id
from ringback.contract.telemetry.spec import MetricSpec
from ringback.contract.trace_context import new_trace_context
from ringback.services.gateway.endpoints.endpoint import Endpoint, Question
from ringback.services.gateway.events.metadata import EventMetadata, parse_metadata
from ringback.services.gateway.questions.answers import Asked
from ringback.services.gateway.questions.question_log import AnsweredQuestion, Row
from ringback.services.gateway.webhook import accept

TOOL_CALLS: dict[str, Any] = {
    "toolCallList": [
        {"id": "call_b", "function": {"name": "book", "arguments": {}}},
        {"id": "call_a", "name": "look_up", "parameters": {}},
    ]
}


@dataclass
class MemoryTable:
    """Keeps each question as it is."""

    rows: list[AnsweredQuestion] = field(default_factory=list)

    def row(self, one: AnsweredQuestion) -> Row:
        return (one,)

    async def write(self, rows: Sequence[Row]) -> None:
        await asyncio.sleep(0)
        self.rows += [one for (one,) in rows]


_NOBODY = Question("http://127.0.0.1:1/", 60.0)


def asked(
    event_type: str,
    url: str = "http://127.0.0.1:1/",
    *,
    timeout_s: float = 60.0,
    fallback: dict[str, Any] | None = None,
    call_id: str = "call-1",
    endpoint_id: str = "acme",
    **message: Any,
) -> Asked:
    body = orjson.dumps({"message": {"type": event_type, "call": {"id": call_id}, **message}})
    return asked_with(body, Question(url, timeout_s, fallback), endpoint_id)


def asked_with(body: bytes, question: Question = _NOBODY, endpoint_id: str = "acme") -> Asked:
    metadata = parse_metadata(body)
    assert isinstance(metadata, EventMetadata)
    webhook = accept(
        metadata,
        body,
        job_id=new_job_id(),
        endpoint=Endpoint(endpoint_id, UUID(int=7)),
        instance_id=UUID(int=1),
        trace=new_trace_context(),
    )
    return Asked(webhook, question)


def known_values(metric: MetricSpec, label: str) -> tuple[str, ...]:
    values = metric.labels[label]
    assert isinstance(values, tuple)
    return values
