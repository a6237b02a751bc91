"""The metrics service as processes, and a server in Slack's place."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ringback.contract.retry_schedule import RetrySchedule
from ringback.runtime.amqp import topology
from tests.integration.metrics.metrics_process import MetricsProcess, metrics_process
from tests.integration.metrics.slack.conftest import Place
from tests.support.eventually import eventually
from tests.support.local_slack import HANGS, LocalSlack

pytestmark = pytest.mark.slow

SENT = 'ringback_slack_messages_total{outcome="sent"}'
FAILED = 'ringback_slack_messages_total{outcome="failed"}'


@asynccontextmanager
async def running(
    tmp_path: Path, amqp_url: str, database_url: str, **settings: str
) -> AsyncGenerator[MetricsProcess, None]:
    """A metrics service that is ready, and announces within a second."""
    await topology.apply(amqp_url, RetrySchedule.parse("2s,4s,8s"))
    all_settings = {"RINGBACK_SLACK_BATCH_WINDOW_S": "0.5"} | settings
    async with metrics_process(
        tmp_path, amqp_url=amqp_url, database_url=database_url, **all_settings
    ) as service:
        await eventually(service.is_ready, deadline_s=20)
        yield service


async def test_a_hanging_slack_delays_nothing(
    place: Place, slack: LocalSlack, tmp_path: Path, amqp_url: str, database_url: str
) -> None:
    """The service is ready, dead letters are recorded, and it stops in time."""
    slack.always = HANGS
    settings = {"RINGBACK_SLACK_WEBHOOK_URL": slack.url}
    async with running(tmp_path, amqp_url, database_url, **settings) as service:
        await place.die(3)
        await eventually(lambda: slack.tries)

        async with asyncio.timeout(2):
            await place.die(50)
            assert await service.is_ready()
        await eventually(lambda: _has_failed(service))
        assert await service.stop() == 0


async def test_without_slack_nothing_is_sent(
    place: Place, tmp_path: Path, amqp_url: str, database_url: str
) -> None:
    """It is off by default; the counters exist, at 0."""
    async with running(tmp_path, amqp_url, database_url) as service:
        await place.die(3)
        samples = await eventually(lambda: _samples_with(service, SENT))

    outcomes = {"sent", "rate_limited", "failed", "refused", "expired", "no_room"}
    assert {samples[f'ringback_slack_messages_total{{outcome="{one}"}}'] for one in outcomes} == {0}
    assert await place.admin.fetchval("SELECT count(*) FROM webhook_dead_letter_notices") == 1


async def _has_failed(service: MetricsProcess) -> bool:
    return (await service.samples())[FAILED] > 0


async def _samples_with(process: MetricsProcess, name: str) -> dict[str, float] | None:
    samples = await process.samples()
    return samples if name in samples else None
