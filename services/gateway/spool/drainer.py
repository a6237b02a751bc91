"""Publishes what waits in the spool, in order, below the pace of live traffic."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from pamqp.commands import Basic

from ringback.runtime.ending import end
from services.gateway.breaker import Breaker
from services.gateway.message import MessageProperties
from services.gateway.publish_outcome import PublishOutcome
from services.gateway.spool.spool_row import Waiting
from services.gateway.spool.spool_thread import CANNOT_SPOOL

_MOST_BATCH_BYTES = 4 * 1024 * 1024
_BATCHES_PER_S = 10
_PROBE_WAIT_S = 0.5
"""How long after a publish in vain began the next is tried, with one webhook alone."""

_IDLE_WAIT_S = 0.2
"""How often an empty spool, or a link that is down, is looked at again."""


_ANSWERED = {PublishOutcome.CONFIRMED, PublishOutcome.REFUSED}

_MAX_LOST_LINKS = 3
"""How often the link may end under the same webhook alone before those behind it are tried: the
broker ends it at a message that is larger than its `max_message_size`."""


class Broker(Protocol):
    @property
    def up(self) -> bool: ...

    async def publish(
        self, body: bytes, properties: Basic.Properties, *, timeout_s: float
    ) -> PublishOutcome: ...


class Spool(Protocol):
    @property
    def count(self) -> int: ...

    async def after(self, place: int, *, most: int, most_bytes: int) -> list[Waiting]: ...

    async def forget(self, webhooks: Sequence[Waiting]) -> None: ...


class Observer(Protocol):
    def drained(self, count: int, *, left: int) -> None: ...
    def spool_failed(self, error: BaseException) -> None: ...
    def failed(self) -> None: ...


class Drainer:
    """Works while it is entered. What it cannot publish stays where it is.

    `per_s` bounds how many webhooks a second it publishes: live ones come first. A webhook that
    the broker refuses by itself does not hold up those behind it: it is tried again when the end
    of the line was reached.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        broker: Broker,
        breaker: Breaker,
        observe: Observer,
        per_s: int,
        timeout_s: float,
    ) -> None:
        self._spool = spool
        self._broker = broker
        self._breaker = breaker
        self._observe = observe
        self._most_in_batch = max(1, per_s // _BATCHES_PER_S)
        self._timeout_s = timeout_s
        self._place = 0
        self._is_probing = False
        self._lost_links = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_draining())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        await end(self._task)

    async def _keep_draining(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                wait_s = await self._step()
            except CANNOT_SPOOL as exc:
                self._observe.spool_failed(exc)
                wait_s = _PROBE_WAIT_S
            except Exception:  # ruff: ignore[blind-except]  # a bug may delay the line, not end it
                self._observe.failed()
                wait_s = _PROBE_WAIT_S
            # What publishing took is part of the wait, or the pace would fall below its bound.
            await asyncio.sleep(max(0.0, began + wait_s - clock()))

    async def _step(self) -> float:
        """Bring one batch on its way; how long after its beginning the next is due, in seconds."""
        if not self._spool.count or not self._broker.up:
            self._place = 0
            return _IDLE_WAIT_S
        most = 1 if self._is_probing else self._most_in_batch
        batch = await self._spool.after(self._place, most=most, most_bytes=_MOST_BATCH_BYTES)
        if not batch:
            self._place = 0
            return _IDLE_WAIT_S
        outcomes = await asyncio.gather(*(self._publish(webhook) for webhook in batch))
        confirmed = [
            webhook
            for webhook, outcome in zip(batch, outcomes, strict=True)
            if outcome is PublishOutcome.CONFIRMED
        ]
        if confirmed:
            await self._spool.forget(confirmed)
            self._observe.drained(len(confirmed), left=self._spool.count)
        self._is_probing = not confirmed
        if set(outcomes) <= _ANSWERED or self._ends_links(outcomes):
            self._place = batch[-1].place
        return 1 / _BATCHES_PER_S if confirmed else _PROBE_WAIT_S

    def _ends_links(self, outcomes: Sequence[PublishOutcome]) -> bool:
        """Say whether one webhook alone has ended the link too often."""
        is_suspect = outcomes == [PublishOutcome.LINK_LOST]
        self._lost_links = self._lost_links + 1 if is_suspect else 0
        if self._lost_links < _MAX_LOST_LINKS:
            return False
        self._lost_links = 0
        return True

    async def _publish(self, webhook: Waiting) -> PublishOutcome:
        outcome = await self._broker.publish(
            webhook.body, MessageProperties(webhook.envelope), timeout_s=self._timeout_s
        )
        self._breaker.heard(outcome)
        return outcome
