"""Publishes spooled webhooks in order, at a limited rate."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from ringback.contract.envelope import Envelope
from ringback.runtime.process.background import BackgroundTask
from ringback.services.gateway.storage.breaker import Breaker
from ringback.services.gateway.storage.result import PublishOutcome
from ringback.services.gateway.storage.spool.database import SPOOL_ERRORS
from ringback.services.gateway.storage.spool.file import SpooledWebhook

_MAX_BATCH_BYTES = 4 * 1024 * 1024
_BATCHES_PER_S = 10
_PROBE_WAIT_S = 0.5
"""After a failed publish, how long until one webhook is tried alone."""

_IDLE_WAIT_S = 0.2
"""How often to check an empty spool, or a lost connection, again."""


_ANSWERED = {PublishOutcome.CONFIRMED, PublishOutcome.REFUSED}

_MAX_CONNECTIONS_LOST = 3
"""If publishing one webhook alone loses the connection this often, the next ones are tried first.
The broker closes the connection for a message larger than its `max_message_size`."""


class Broker(Protocol):
    @property
    def is_connected(self) -> bool: ...

    async def publish(
        self, envelope: Envelope, body: bytes, *, timeout_s: float
    ) -> PublishOutcome: ...


class Spool(Protocol):
    @property
    def count(self) -> int: ...

    async def read_after(
        self, sequence: int, *, max_count: int, max_bytes: int
    ) -> list[SpooledWebhook]: ...

    async def delete(self, webhooks: Sequence[SpooledWebhook]) -> None: ...


class Instruments(Protocol):
    def drained(self, count: int, *, left: int) -> None: ...
    def spool_failed(self, error: BaseException) -> None: ...


class Drainer(BackgroundTask):
    """Runs while entered. A webhook stays in the spool until the broker has confirmed it.

    `per_s` limits how many it publishes per second, since live webhooks come first. A webhook that
    the broker rejects does not block those after it: it is tried again after the last one.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        broker: Broker,
        breaker: Breaker,
        instruments: Instruments,
        per_s: int,
        timeout_s: float,
        probe_wait_s: float = _PROBE_WAIT_S,
    ) -> None:
        self._spool = spool
        self._broker = broker
        self._breaker = breaker
        self._instruments = instruments
        self._max_batch = max(1, per_s // _BATCHES_PER_S)
        self._timeout_s = timeout_s
        self._probe_wait_s = probe_wait_s
        self._sequence = 0
        self._is_probing = False
        self._connections_lost = 0

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            started_at = clock()
            try:
                wait_s = await self._step()
            except SPOOL_ERRORS as exc:
                self._instruments.spool_failed(exc)
                wait_s = self._probe_wait_s
            # The time for publishing is part of the interval; otherwise the rate would drop.
            await asyncio.sleep(max(0.0, started_at + wait_s - clock()))

    async def _step(self) -> float:
        """Publish one batch; return after how many seconds, from its start, the next is due."""
        if not self._spool.count or not self._broker.is_connected:
            self._sequence = 0
            return _IDLE_WAIT_S
        max_count = 1 if self._is_probing else self._max_batch
        batch = await self._spool.read_after(
            self._sequence, max_count=max_count, max_bytes=_MAX_BATCH_BYTES
        )
        if not batch:
            self._sequence = 0
            return _IDLE_WAIT_S
        outcomes = await asyncio.gather(*(self._publish(webhook) for webhook in batch))
        confirmed = [
            webhook
            for webhook, outcome in zip(batch, outcomes, strict=True)
            if outcome is PublishOutcome.CONFIRMED
        ]
        if confirmed:
            await self._spool.delete(confirmed)
            self._instruments.drained(len(confirmed), left=self._spool.count)
        self._is_probing = not confirmed
        if set(outcomes) <= _ANSWERED or self._closes_connections(outcomes):
            self._sequence = batch[-1].sequence
        return 1 / _BATCHES_PER_S if confirmed else self._probe_wait_s

    def _closes_connections(self, outcomes: Sequence[PublishOutcome]) -> bool:
        """Whether one webhook alone has lost the connection too often."""
        is_lost = outcomes == [PublishOutcome.CONNECTION_LOST]
        self._connections_lost = self._connections_lost + 1 if is_lost else 0
        if self._connections_lost < _MAX_CONNECTIONS_LOST:
            return False
        self._connections_lost = 0
        return True

    async def _publish(self, webhook: SpooledWebhook) -> PublishOutcome:
        outcome = await self._broker.publish(
            webhook.envelope, webhook.body, timeout_s=self._timeout_s
        )
        self._breaker.record(outcome)
        return outcome
