"""The broker's management API, for what AMQP does not report: unacknowledged messages."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Self

import aiohttp
import structlog
from yarl import URL

from ringback.contract.telemetry import LogEvent
from ringback.contract.topology import topology
from ringback.runtime.amqp.management_api import ManagementPlace
from services.metrics.observe import Observer
from services.metrics.settings import MetricsSettings

log = structlog.get_logger()

_READ_TIMEOUT_S = 4.0


class ManagementApi:
    """Client of the API, with the user and the virtual host of the AMQP URL.

    `url` is the API's address, such as http://rabbitmq:15672; credentials in it take precedence.
    """

    def __init__(self, url: str, amqp_url: str, queues: Iterable[str]) -> None:
        self._place = ManagementPlace.of(url, amqp_url)
        self._url = f"{self._place.base_url}/queues/{self._place.vhost}"
        self._queues = frozenset(queues)
        self._session: aiohttp.ClientSession | None = None
        self._is_away = False

    async def unacked(self, timeout_s: float) -> dict[str, int] | None:
        """Unacknowledged messages by queue; None if the API does not answer. Raises nothing."""
        assert self._session is not None
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.get(
                    URL(self._url, encoded=True), params={"columns": "name,messages_unacknowledged"}
                ) as answer,
            ):
                answer.raise_for_status()
                told = _unacked_in(await answer.json())
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            if not self._is_away:
                # Never log the error's text: it contains the URL.
                log.warning(LogEvent.MANAGEMENT_API_UNAVAILABLE, reason=type(exc).__name__)
            self._is_away = True
            return None
        self._is_away = False
        return {name: count for name, count in told.items() if name in self._queues}

    async def __aenter__(self) -> Self:
        self._session = self._place.session()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()


def keep_reading_unacked(
    settings: MetricsSettings, observer: Observer
) -> Iterator[Coroutine[None, None, None]]:
    """Report to the observer until cancelled; return at once if no API is configured."""
    if settings.rabbitmq_management_url is not None:
        names = (queue.name for queue in topology(settings.schedule).queues)
        url = settings.rabbitmq_management_url.get_secret_value()
        api = ManagementApi(url, settings.amqp_url.get_secret_value(), names)
        yield _keep_reading(api, observer, settings.metrics_interval_s)


async def _keep_reading(api: ManagementApi, observer: Observer, interval_s: float) -> None:
    async with api:
        while True:
            unacked = await api.unacked(_READ_TIMEOUT_S)
            if unacked is not None:
                observer.unacked_read(unacked)
            await asyncio.sleep(interval_s)


def _unacked_in(told: object) -> dict[str, int]:
    """Raises ValueError for an invalid answer. A queue without a leader has no number."""
    if not isinstance(told, list):
        raise ValueError("no list of queues")  # ruff: ignore[type-check-without-type-error]  # it came from outside
    return {
        str(queue["name"]): int(queue["messages_unacknowledged"])
        for queue in told
        if isinstance(queue, dict) and "messages_unacknowledged" in queue and "name" in queue
    }
