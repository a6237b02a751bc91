"""Takes webhooks to each possible end; keeps metrics, log lines and spans of the services."""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import asyncpg
import pytest
from prometheus_client import Metric as Family
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from ringback import samples
from ringback.contract.topology import WORK_QUEUE
from ringback.metrics.client import MetricsClient
from ringback.metrics.errors import NotFoundError
from tests.acceptance.whole import (
    SERVICES,
    Whole,
    calling,
    declare_question,
    demo,
    whole_ringback,
)
from tests.support.answering_backend import backend
from tests.support.eventually import eventually
from tests.support.tokens import bearer, token
from tests.support.trace_file import TracedSpan, spans_in

OF_THE_CLIENT = ("process_", "python_")


@dataclass(slots=True)
class Emitted:
    """The last metrics of the services, and all their log lines and spans.

    `jobs` are job ids by what happened to the webhook, `attempts` the rows of their attempts.
    """

    observability_ports: dict[str, str] = field(default_factory=dict)
    open_metrics: dict[str, str] = field(default_factory=dict)
    lines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    spans: list[TracedSpan] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, list[asyncpg.Record]] = field(default_factory=dict)
    trace_file: Path = Path()

    def exemplars(self, service: str) -> dict[str, set[str]]:
        """The trace ids of each family's exemplars, where it has some."""
        return {
            family.name: found
            for family in _open_metrics_families(self.open_metrics[service])
            if (
                found := {one.exemplar.labels["trace_id"] for one in family.samples if one.exemplar}
            )
        }

    def families(self, service: str) -> dict[str, Family]:
        """Exported metric names, without those of the Python client."""
        return {
            _name(family): family
            for family in text_string_to_metric_families(self.observability_ports[service])
            if not family.name.startswith(OF_THE_CLIENT)
        }


def _open_metrics_families(text: str) -> Iterator[Family]:
    yield from openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # the client gives it no type


def _name(family: Family) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


@asynccontextmanager
async def driven(
    amqp_url: str, database_url: str, folder: Path, **variables: str
) -> AsyncGenerator[Emitted, None]:
    """Run the services until the context begins; give what they emitted."""
    emitted = Emitted(trace_file=folder / "traces.jsonl")
    variables |= {"RINGBACK_TRACE_FILE": str(emitted.trace_file)}
    async with AsyncExitStack() as stack:
        answering = await stack.enter_async_context(backend())
        variables |= declare_question(folder, answering.url("/answer"))
        variables |= {
            "RINGBACK_HANDLERS": "ringback.cli.demo.handlers,tests.support.calling_handler"
        }
        whole = await stack.enter_async_context(
            whole_ringback(amqp_url, database_url, folder, **variables)
        )
        emitted.jobs = await _drive(whole, amqp_url, answering.url("/answer"))
        for name, job_id in emitted.jobs.items():
            emitted.attempts[name] = await whole.database.fetch(
                "SELECT * FROM webhook_delivery_attempts WHERE delivery_id = $1 ORDER BY attempt",
                job_id,
            )
        for service in SERVICES:
            emitted.observability_ports[service] = await eventually(partial(_read, whole, service))
            emitted.open_metrics[service] = await _read_open_metrics(whole, service)
    for service in SERVICES:
        emitted.lines[service] = list(_lines(folder / f"{service}.log"))
    emitted.spans = spans_in(folder / "traces.jsonl")
    yield emitted


async def _drive(whole: Whole, amqp_url: str, answering_url: str) -> dict[str, str]:
    """Cause each outcome, bad requests, a pause, reads and a manual retry; give the job ids."""
    body = samples.sample("transcript")
    jobs = {"success": await whole.accepted(body)}
    await whole.settled([*jobs.values()])
    jobs |= {
        "duplicate": await whole.accepted(body),
        "retry": await whole.accepted(demo(failUntilAttempt=2)),
        "schedule": await whole.accepted(demo(failUntilAttempt=99)),
        "permanent": await whole.accepted(demo(failForGood=True)),
        "call": await whole.accepted(calling(answering_url)),
    }
    await whole.settled([*jobs.values()])
    # Later, so that the dead letters above are recorded one by one.
    dead = await whole.accepted(demo(failForGood=True))
    await whole.settled([dead])
    assert (await whole.post(b"no JSON"))[0] == 400
    await whole.asked()
    async with whole.http.request("PROPFIND", whole.gateway_url) as answer:
        assert answer.status == 405
    await _publish_foreign_message(amqp_url)
    async with MetricsClient(whole.grpc_address, token=token("service")) as client:
        await client.pause_processing(reason="A test looks at it.")
        await eventually(lambda: _is_paused(whole, paused=True))
        await client.resume_processing()
        await eventually(lambda: _is_paused(whole, paused=False))
        retried = await client.retry_delivery(dead, reason="A test retries it.")
        await whole.settled([retried.new_job_id])
    strange = token("tenant", uuid4())
    async with MetricsClient(whole.grpc_address, token=strange) as client:
        with pytest.raises(NotFoundError):
            await client.delivery(dead)
    url = f"{whole.rest_url}/api/webhook-metrics/delivery-stats?range=24h"
    async with whole.http.get(url, headers={"Authorization": bearer()}) as answer:
        assert answer.status == 200
    async with whole.http.get(url) as answer:
        assert answer.status == 401

    async def five_dead_letters() -> bool:
        return await whole.metric("processor", "webhook_dead_letters_total") == 5

    await eventually(five_dead_letters)
    return jobs


async def _publish_foreign_message(amqp_url: str) -> None:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        message = aio_pika.Message(b"not a webhook")
        await channel.default_exchange.publish(message, routing_key=WORK_QUEUE)


async def _is_paused(whole: Whole, *, paused: bool) -> bool:
    return await whole.metric("processor", "webhook_processing_paused") == int(paused)


async def _read(whole: Whole, service: str) -> str | None:
    """Read the metrics, once every gauge has a value."""
    url = f"http://127.0.0.1:{whole.observability_ports[service]}/metrics"
    async with whole.http.get(url) as answer:
        text = await answer.text()
    families = text_string_to_metric_families(text)
    return text if all(family.samples for family in families) else None


async def _read_open_metrics(whole: Whole, service: str) -> str:
    url = f"http://127.0.0.1:{whole.observability_ports[service]}/metrics"
    accepted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with whole.http.get(url, headers=accepted) as answer:
        assert answer.content_type == "application/openmetrics-text"
        return await answer.text()


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text(encoding="utf-8").splitlines():
        document = json.loads(line)
        assert isinstance(document, dict), line
        yield document
