"""The spool with what fills and empties it, put together; or the lack of it, where none is set."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from services.gateway.breaker import Breaker
from services.gateway.observe import Observe
from services.gateway.publisher import Publisher
from services.gateway.settings import GatewaySettings
from services.gateway.spool.drainer import Drainer
from services.gateway.spool.observe import ObserveSpool
from services.gateway.spool.salvager import Salvager
from services.gateway.spool.spool import Spool, SpoolBounds
from services.gateway.storing import Patience, Storing


class Shelter:
    """While it is entered, what the spool holds goes to the broker as soon as that takes it.

    Entering raises CannotStartError when another gateway has the spool's folder.
    """

    def __init__(
        self, settings: GatewaySettings, publisher: Publisher, observe: ObserveSpool
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._observe = observe
        self._breaker = Breaker()
        self._spool = _spool(settings, observe)
        self._salvager = Salvager(self._spool, self._spool.path, observe) if self._spool else None
        self._stack = AsyncExitStack()
        self._watch()

    async def can_store(self) -> bool:
        """Whether a webhook would find a disk now."""
        if self._spool is not None and await self._spool.can_store():
            return True
        return await self._publisher.is_ready()

    def storing(self, observe: Observe) -> Storing:
        settings = self._settings
        return Storing(
            broker=self._publisher,
            spool=self._spool,
            breaker=self._breaker,
            patience=Patience(
                with_spool_s=min(settings.spool_after_s, settings.publish_timeout_s),
                alone_s=settings.publish_timeout_s,
            ),
            observe=observe,
            observe_spool=self._observe,
        )

    async def __aenter__(self) -> Self:
        if self._spool is None:
            self._observe.spool_none()
            return self
        assert self._salvager is not None
        await self._stack.enter_async_context(self._spool)
        await self._stack.enter_async_context(self._salvager)
        await self._stack.enter_async_context(
            Drainer(
                spool=self._spool,
                broker=self._publisher,
                breaker=self._breaker,
                observe=self._observe,
                per_s=self._settings.spool_drain_per_s,
                timeout_s=self._settings.publish_timeout_s,
            )
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    def _watch(self) -> None:
        spool, salvager, breaker = self._spool, self._salvager, self._breaker
        self._observe.watch(
            count=lambda: spool.count if spool else 0,
            size_bytes=lambda: spool.size_bytes if spool else 0,
            oldest_age_s=lambda: spool.oldest_age_s if spool else 0.0,
            damaged_rows=lambda: spool.damaged if spool else 0,
            kept_files=lambda: salvager.kept if salvager else 0,
            is_usable=lambda: spool is not None and spool.has_room(),
            is_breaker_open=lambda: breaker.is_open(spooled=spool.count if spool else 0),
        )


def _spool(settings: GatewaySettings, observe: ObserveSpool) -> Spool | None:
    if settings.spool_dir is None:
        return None
    bounds = SpoolBounds(
        most_bytes=settings.spool_bytes,
        free_bytes=settings.spool_free_bytes,
        timeout_s=settings.spool_timeout_s,
    )
    return Spool(settings.spool_dir, bounds, observe)
