"""The connection that publishes retries."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ringback.runtime.amqp.publisher import ConfirmedPublisher
from ringback.runtime.process.settings import BrokerSettings
from services.metrics.access import Access
from services.metrics.changes.retry_counter import RetryCounter
from services.metrics.changes.retry_outbox import RetryOutbox
from services.metrics.changes.retry_spans import RetrySpans

_PUBLISH_TIMEOUT_S = 2.0


@asynccontextmanager
async def retry_outbox(
    settings: BrokerSettings, access: Access, counter: RetryCounter, spans: RetrySpans
) -> AsyncGenerator[RetryOutbox]:
    """An outbox that opens as soon as the broker is available; it waits only briefly for that."""
    publisher = ConfirmedPublisher(
        settings.amqp_url.get_secret_value(),
        "ringback-metrics-publish",
        timeout_s=_PUBLISH_TIMEOUT_S,
    )
    async with publisher:
        # Otherwise the first retries would fail as if the broker were unavailable.
        await publisher.wait_for_first_attempt(within_s=_PUBLISH_TIMEOUT_S)
        yield RetryOutbox(access, publisher, counter, spans)
