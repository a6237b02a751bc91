"""Announces committed dead letters in the channel. Nothing waits for it."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import assert_never

from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from services.metrics.slack.alert_group import AlertGroup, GroupKey
from services.metrics.slack.alert_log import AlertLog
from services.metrics.slack.answer import Refused, Sent, TryLater
from services.metrics.slack.backoff import wait_s
from services.metrics.slack.channel import Channel
from services.metrics.slack.links import Links
from services.metrics.slack.message import Message, about_many, about_one, about_quiet
from services.metrics.slack.next_step import GiveUp, Pace, Step, Tell, TellQuiet, next_step
from services.metrics.slack.observe import AlertObserver

_LEASE = timedelta(seconds=30)
"""Longer than a send and its reads may take.

A process that dies with the turn blocks it this long.
"""

_BETWEEN_MESSAGES_S = 1.0
"""Slack accepts one message a second per channel."""

_FINISH_S = 4.0

Jitter = Callable[[], float]


class AlertSender:
    """Runs in several processes: only the one that has the turn sends.

    If a process dies between a send and its record in the database, the next one sends the message
    again.
    """

    def __init__(
        self,
        alerts: AlertLog,
        channel: Channel,
        observer: AlertObserver,
        *,
        pace: Pace,
        links: Links,
        jitter: Jitter = random.random,  # ruff: ignore[suspicious-non-cryptographic-random-usage]  # it spreads waits
    ) -> None:
        self._alerts = alerts
        self._channel = channel
        self._observer = observer
        self._pace = pace
        self._links = links
        self._jitter = jitter

    async def keep_telling(self, *, interval_s: float = 1.0) -> None:
        """Check every `interval_s` for something to announce, until cancelled.

        A message in flight is finished first, if that takes at most four seconds. An unavailable
        database is tried again.
        """
        while True:
            telling = asyncio.create_task(self.tell_next())
            try:
                await asyncio.shield(telling)
            except asyncio.CancelledError:
                # Or the next process would send it again.
                await asyncio.wait({telling}, timeout=_FINISH_S)
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
                raise
            except DATABASE_UNAVAILABLE_ERRORS as exc:
                self._observer.database_is_away(type(exc).__name__)
            else:
                self._observer.database_is_there()
            await asyncio.sleep(interval_s)

    async def tell_next(self) -> None:
        """Do the one thing that is due, if we have the turn.

        Raises one of DATABASE_UNAVAILABLE_ERRORS.
        """
        forgotten = await self._alerts.fold()
        if forgotten:
            self._observer.no_room(forgotten)
        if await self._next_step() is None:
            return
        failures = await self._alerts.take_turn(_LEASE)
        if failures is None:
            return
        # Another process may have announced them since we looked.
        step = await self._next_step()
        pause_s = 0.0
        if step is not None:
            failures, pause_s = await self._take(step, failures)
        await self._alerts.end_turn(failures, timedelta(seconds=pause_s))

    async def _next_step(self) -> Step | None:
        groups, now = await self._alerts.groups()
        return None if now is None else next_step(groups, now, self._pace)

    async def _take(self, step: Step, failures: int) -> tuple[int, float]:
        """How many sends have failed in a row after it, and how long all senders pause."""
        if isinstance(step, GiveUp):
            await self._alerts.end(step.groups)
            self._observer.expired(len(step.groups), _untold(step.groups))
            return failures, 0.0
        answer = await self._channel.send(await self._message(step))
        if isinstance(answer, TryLater):
            pause_s = wait_s(
                failures + 1, retry_after_s=answer.retry_after_s, jitter=self._jitter()
            )
            self._observer.not_sent(answer.reason, failures + 1, pause_s)
            return failures + 1, pause_s
        self._observe(answer, step)
        if isinstance(step, Tell):
            await self._alerts.settle(step.groups)
        else:
            await self._alerts.end(step.groups)
        return 0, _BETWEEN_MESSAGES_S

    async def _message(self, step: Tell | TellQuiet) -> Message:
        match step:
            case Tell(groups=(group,)):
                return about_one(group, await self._alerts.example(group), self._links)
            case Tell(groups=groups):
                return about_many(groups, self._links)
            case TellQuiet(groups=groups):
                return about_quiet(groups, await self._unresolved(groups), self._links)
            case _:
                assert_never(step)

    async def _unresolved(self, groups: Sequence[AlertGroup]) -> dict[GroupKey, int] | None:
        """None if counting takes too long; that a group is quiet is news without the count."""
        try:
            return await self._alerts.unresolved(groups)
        except DATABASE_UNAVAILABLE_ERRORS:
            return None

    def _observe(self, answer: Sent | Refused, step: Tell | TellQuiet) -> None:
        groups, dead_letters = len(step.groups), _untold(step.groups)
        if isinstance(answer, Refused):
            self._observer.refused(answer.reason, groups, dead_letters)
        else:
            kind = "dead_letters" if isinstance(step, Tell) else "quiet"
            self._observer.sent(kind, groups, dead_letters)


def _untold(groups: Sequence[AlertGroup]) -> int:
    return sum(group.untold for group in groups)
