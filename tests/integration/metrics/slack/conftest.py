"""Dead letters in a real database, a server in Slack's place, and the sender between them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from ringback.runtime.postgres.pool import open_pool
from ringback.runtime.process.settings import DatabaseSettings
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.slack.alert_log import AlertLog
from ringback.services.metrics.slack.client import IncomingWebhook
from ringback.services.metrics.slack.instruments import SlackInstruments
from ringback.services.metrics.slack.message import Links
from ringback.services.metrics.slack.next_step import NotifyTimes
from ringback.services.metrics.slack.notifier import Notifier
from ringback.services.processor.builtin.failing_forwards import FailingForwards
from tests.integration.migrations.log_calls import ORG, Webhook, bury
from tests.support.database_roles import METRICS, PROCESSOR, url_as
from tests.support.local_slack import LocalSlack, local_slack
from tests.unit.processor.test_forward_outcome import FORWARD

#: Everything is due at once; no group ever ends.
AT_ONCE = NotifyTimes(batch_window=timedelta(0), interval=timedelta(0), quiet=timedelta(hours=1))
LEASE = timedelta(hours=1)


@dataclass(slots=True)
class Place:
    """`processor` is a connection with the rights of the processor, `admin` with all."""

    processor: asyncpg.Connection
    admin: asyncpg.Connection
    pool: asyncpg.Pool
    processor_url: str
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    observer: SlackInstruments = field(init=False)

    def __post_init__(self) -> None:
        self.observer = SlackInstruments(self.registry)

    async def die(self, count: int = 1, org_id: UUID = ORG, error: str = "E") -> list[Webhook]:
        """So many webhooks become dead letters, in statements of fifty as the processor makes."""
        webhooks = [Webhook(org_id=org_id) for _ in range(count)]
        for start in range(0, count, 50):
            some = webhooks[start : start + 50]
            await bury(self.processor, *some, error=(error, "It took too long."))
        return webhooks

    async def stop_forward(self, error: str) -> None:
        """A forward fails in ten reports of a processor, which is long enough here."""
        settings = DatabaseSettings(database_url=self.processor_url, database_pool_min=0)
        async with open_pool(settings, "test") as pool:
            failing = FailingForwards(pool, CollectorRegistry(), stopped_after=timedelta(days=-1))
            for _ in range(10):
                failing.ended(FORWARD, ORG, error)
                await failing.report()

    def alerts(self) -> AlertLog:
        """The alert log of another process."""
        return AlertLog(self.pool, Access(self.pool), uuid4())

    def sender(self, slack: LocalSlack, pace: NotifyTimes = AT_ONCE) -> Notifier:
        """The sender of another process; all of them count together."""
        return Notifier(
            self.alerts(),
            IncomingWebhook(slack.url, timeout_s=60),
            self.observer,
            times=pace,
            links=Links(),
            jitter=lambda: 0.0,
        )

    def count(self, outcome: str) -> float | None:
        return self.registry.get_sample_value("ringback_slack_messages_total", {"outcome": outcome})

    async def let_time_pass(self, seconds: float) -> None:
        """Make the rows in the database older by this much."""
        passed = timedelta(seconds=seconds)
        await self.admin.execute(
            "UPDATE webhook_alerts SET opened_at = opened_at - $1::interval,"
            " last_at = last_at - $1::interval, sent_at = sent_at - $1::interval,"
            " unsent_since = unsent_since - $1::interval",
            passed,
        )
        await self.admin.execute(
            "UPDATE webhook_alert_lease SET expires_at = expires_at - $1::interval,"
            " not_before = not_before - $1::interval",
            passed,
        )


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Place]:
    processor = await asyncpg.connect(url_as(database_url, PROCESSOR), command_timeout=300)
    admin = await asyncpg.connect(database_url, command_timeout=300)
    settings = DatabaseSettings(database_url=url_as(database_url, METRICS), database_pool_min=0)
    async with open_pool(settings, "test") as pool:
        yield Place(processor, admin, pool, url_as(database_url, PROCESSOR))
    await processor.close()
    await admin.close()


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with local_slack() as running:
        yield running
