"""Announces committed dead letters and stopped forwards in the Slack channel."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import assert_never
from uuid import uuid4

import asyncpg
from prometheus_client import CollectorRegistry

from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.refusal import reason_of
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.slack.alert_log import AlertGroup, AlertLog, GroupKey
from ringback.services.metrics.slack.client import (
    Bot,
    Channel,
    IncomingWebhook,
    Rejected,
    Sent,
    TryLater,
    backoff_s,
)
from ringback.services.metrics.slack.instruments import SlackInstruments
from ringback.services.metrics.slack.message import (
    Links,
    Message,
    about_many,
    about_one,
    about_quiet,
    about_stopped,
)
from ringback.services.metrics.slack.next_step import (
    Expire,
    Notify,
    NotifyQuiet,
    NotifyStopped,
    NotifyTimes,
    Step,
    next_step,
)
from ringback.services.metrics.slack.settings import SlackSettings

_LEASE = timedelta(seconds=30)
"""Longer than a send and its reads may take.

If a process dies while it has the lease, nothing is sent for this long.
"""

_BETWEEN_MESSAGES_S = 1.0
"""Slack accepts one message a second per channel."""

_FINISH_S = 4.0

Jitter = Callable[[], float]


class Notifier:
    """Runs in several processes; only the one with the lease sends.

    If it dies after a send and before the database has recorded that, the next process sends the
    message again.
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

        When cancelled, it finishes a message in flight, for at most four seconds. While the
        database is unavailable, it tries again.
        """
        while True:
            notifying = asyncio.create_task(self.notify_next())
            try:
                await asyncio.shield(notifying)
            except asyncio.CancelledError:
                # Otherwise the next process would send it again.
                await asyncio.wait({notifying}, timeout=_FINISH_S)
                notifying.cancel()
                await asyncio.gather(notifying, return_exceptions=True)
                raise
            except DATABASE_UNAVAILABLE_ERRORS as exc:
                self._instruments.database_unavailable(reason_of(exc))
            else:
                self._instruments.database_available()
            await asyncio.sleep(interval_s)

    async def notify_next(self) -> None:
        """Do what is due next, if this process gets the lease.

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
        # Another process may have announced it before this one got the lease.
        step = await self._next_step()
        pause_s = 0.0
        if step is not None:
            failures, pause_s = await self._execute(step, failures)
        await self._alerts.release_lease(failures, timedelta(seconds=pause_s))

    async def _next_step(self) -> Step | None:
        stopped = await self._alerts.stopped_forwards()
        if stopped:
            return NotifyStopped(tuple(stopped))
        groups, now = await self._alerts.groups()
        return None if now is None else next_step(groups, now, self._times)

    async def _execute(self, step: Step, failures: int) -> tuple[int, float]:
        """Return how many sends have now failed in a row, and how long no process may send."""
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
        match step:
            case Notify(groups):
                await self._alerts.mark_sent(groups)
            case NotifyQuiet(groups):
                await self._alerts.close(groups)
            case NotifyStopped(forwards):
                await self._alerts.close_stopped(forwards)
        return 0, _BETWEEN_MESSAGES_S

    async def _message(self, step: Notify | NotifyQuiet | NotifyStopped) -> Message:
        match step:
            case Notify(groups=(group,)):
                return about_one(group, await self._alerts.example(group), self._links)
            case Notify(groups=groups):
                return about_many(groups, self._links)
            case NotifyQuiet(groups=groups):
                return about_quiet(groups, await self._unresolved(groups), self._links)
            case NotifyStopped(forwards):
                return about_stopped(forwards, self._links)
            case _:
                assert_never(step)

    async def _unresolved(self, groups: Sequence[AlertGroup]) -> dict[GroupKey, int] | None:
        """None if counting takes too long; then the message is sent without the counts."""
        try:
            return await self._alerts.unresolved(groups)
        except DATABASE_UNAVAILABLE_ERRORS:
            return None

    def _record(self, result: Sent | Rejected, step: Notify | NotifyQuiet | NotifyStopped) -> None:
        groups = () if isinstance(step, NotifyStopped) else step.groups
        count, dead_letters = len(groups), _unsent(groups)
        if isinstance(result, Rejected):
            self._instruments.rejected(result.reason, count, dead_letters)
        else:
            self._instruments.sent(_KINDS[type(step)], count, dead_letters)


_KINDS: Mapping[type[Step], str] = {
    Notify: "dead_letters",
    NotifyQuiet: "quiet",
    NotifyStopped: "stopped_forwards",
}


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
            instruments.database_unavailable(reason_of(exc))
        else:
            instruments.database_available()
        await asyncio.sleep(_PRUNE_EVERY_S)
