"""Announces committed dead letters in the channel. Nothing waits for it."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import assert_never
from uuid import uuid4

import asyncpg
from prometheus_client import CollectorRegistry

from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from services.metrics.auth.access import Access
from services.metrics.slack.alert_log import AlertGroup, AlertLog, GroupKey
from services.metrics.slack.client import (
    Bot,
    Channel,
    IncomingWebhook,
    Rejected,
    Sent,
    TryLater,
    backoff_s,
)
from services.metrics.slack.instruments import SlackInstruments
from services.metrics.slack.message import Links, Message, about_many, about_one, about_quiet
from services.metrics.slack.next_step import (
    Expire,
    Notify,
    NotifyQuiet,
    NotifyTimes,
    Step,
    next_step,
)
from services.metrics.slack.settings import SlackSettings

_LEASE = timedelta(seconds=30)
"""Longer than a send and its reads may take.

A process that dies with the turn blocks it this long.
"""

_BETWEEN_MESSAGES_S = 1.0
"""Slack accepts one message a second per channel."""

_FINISH_S = 4.0

Jitter = Callable[[], float]


class Notifier:
    """Runs in several processes: only the one that has the turn sends.

    If a process dies between a send and its record in the database, the next one sends the message
    again.
    """

    def __init__(
        self,
        alerts: AlertLog,
        channel: Channel,
        instruments: SlackInstruments,
        *,
        times: NotifyTimes,
        links: Links,
        jitter: Jitter = random.random,  # ruff: ignore[suspicious-non-cryptographic-random-usage]  # it spreads waits
    ) -> None:
        self._alerts = alerts
        self._channel = channel
        self._instruments = instruments
        self._times = times
        self._links = links
        self._jitter = jitter

    async def run(self, *, interval_s: float = 1.0) -> None:
        """Check every `interval_s` for something to announce, until cancelled.

        A message in flight is finished first, if that takes at most four seconds. An unavailable
        database is tried again.
        """
        while True:
            notifying = asyncio.create_task(self.notify_next())
            try:
                await asyncio.shield(notifying)
            except asyncio.CancelledError:
                # Or the next process would send it again.
                await asyncio.wait({notifying}, timeout=_FINISH_S)
                notifying.cancel()
                await asyncio.gather(notifying, return_exceptions=True)
                raise
            except DATABASE_UNAVAILABLE_ERRORS as exc:
                self._instruments.database_unavailable(type(exc).__name__)
            else:
                self._instruments.database_available()
            await asyncio.sleep(interval_s)

    async def notify_next(self) -> None:
        """Do the one thing that is due, if we have the turn.

        Raises one of DATABASE_UNAVAILABLE_ERRORS.
        """
        dropped = await self._alerts.fold()
        if dropped:
            self._instruments.no_room(dropped)
        if await self._next_step() is None:
            return
        failures = await self._alerts.acquire_lease(_LEASE)
        if failures is None:
            return
        # Another process may have announced them since we looked.
        step = await self._next_step()
        pause_s = 0.0
        if step is not None:
            failures, pause_s = await self._execute(step, failures)
        await self._alerts.release_lease(failures, timedelta(seconds=pause_s))

    async def _next_step(self) -> Step | None:
        groups, now = await self._alerts.groups()
        return None if now is None else next_step(groups, now, self._times)

    async def _execute(self, step: Step, failures: int) -> tuple[int, float]:
        """Return how many sends have then failed in a row, and how long all senders pause."""
        if isinstance(step, Expire):
            await self._alerts.close(step.groups)
            self._instruments.expired(len(step.groups), _unsent(step.groups))
            return failures, 0.0
        result = await self._channel.send(await self._message(step))
        if isinstance(result, TryLater):
            pause_s = backoff_s(
                failures + 1, retry_after_s=result.retry_after_s, jitter=self._jitter()
            )
            self._instruments.not_sent(result.reason, failures + 1, pause_s)
            return failures + 1, pause_s
        self._record(result, step)
        if isinstance(step, Notify):
            await self._alerts.mark_sent(step.groups)
        else:
            await self._alerts.close(step.groups)
        return 0, _BETWEEN_MESSAGES_S

    async def _message(self, step: Notify | NotifyQuiet) -> Message:
        match step:
            case Notify(groups=(group,)):
                return about_one(group, await self._alerts.example(group), self._links)
            case Notify(groups=groups):
                return about_many(groups, self._links)
            case NotifyQuiet(groups=groups):
                return about_quiet(groups, await self._unresolved(groups), self._links)
            case _:
                assert_never(step)

    async def _unresolved(self, groups: Sequence[AlertGroup]) -> dict[GroupKey, int] | None:
        """None if counting takes too long; that a group is quiet is news without the count."""
        try:
            return await self._alerts.unresolved(groups)
        except DATABASE_UNAVAILABLE_ERRORS:
            return None

    def _record(self, result: Sent | Rejected, step: Notify | NotifyQuiet) -> None:
        groups, dead_letters = len(step.groups), _unsent(step.groups)
        if isinstance(result, Rejected):
            self._instruments.rejected(result.reason, groups, dead_letters)
        else:
            kind = "dead_letters" if isinstance(step, Notify) else "quiet"
            self._instruments.sent(kind, groups, dead_letters)


def _unsent(groups: Sequence[AlertGroup]) -> int:
    return sum(group.unsent for group in groups)


_PRUNE_EVERY_S = 60.0


async def notify(
    settings: SlackSettings, pool: asyncpg.Pool, access: Access, registry: CollectorRegistry
) -> None:
    """Announce dead letters until cancelled; without a channel, delete old notices."""
    instruments = SlackInstruments(registry)
    alerts = AlertLog(pool, access, uuid4())
    channel = _channel(settings)
    if channel is None:
        await _prune(alerts, instruments)
        return
    times = NotifyTimes(
        batch_window=timedelta(seconds=settings.slack_batch_window_s),
        interval=timedelta(seconds=settings.slack_interval_s),
        quiet=timedelta(seconds=settings.slack_quiet_s),
    )
    links = Links(settings.trace_url_template, settings.dashboard_url)
    await Notifier(alerts, channel, instruments, times=times, links=links).run()


def _channel(settings: SlackSettings) -> Channel | None:
    if settings.slack_webhook_url is not None:
        return IncomingWebhook(settings.slack_webhook_url.get_secret_value())
    if settings.slack_bot_token is None or settings.slack_channel is None:
        return None
    return Bot(
        settings.slack_bot_token.get_secret_value(),
        settings.slack_channel,
        settings.slack_api_url,
    )


async def _prune(alerts: AlertLog, instruments: SlackInstruments) -> None:
    while True:
        try:
            await alerts.prune()
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            instruments.database_unavailable(type(exc).__name__)
        else:
            instruments.database_available()
        await asyncio.sleep(_PRUNE_EVERY_S)
