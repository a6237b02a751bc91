"""Assembles the announcements of dead letters."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
from prometheus_client import CollectorRegistry

from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from services.metrics.access import Access
from services.metrics.slack.alert_log import AlertLog
from services.metrics.slack.alert_sender import AlertSender
from services.metrics.slack.bot import Bot
from services.metrics.slack.channel import Channel
from services.metrics.slack.incoming_webhook import IncomingWebhook
from services.metrics.slack.links import Links
from services.metrics.slack.next_step import Pace
from services.metrics.slack.observe import AlertObserver
from services.metrics.slack.settings import SlackSettings

_PRUNE_EVERY_S = 60.0


async def keep_telling(
    settings: SlackSettings, pool: asyncpg.Pool, access: Access, registry: CollectorRegistry
) -> None:
    """Announce dead letters until cancelled; without a channel, delete old notices."""
    observer = AlertObserver(registry)
    alerts = AlertLog(pool, access, uuid4())
    channel = _channel(settings)
    if channel is None:
        await _keep_pruning(alerts, observer)
        return
    pace = Pace(
        gather=timedelta(seconds=settings.slack_batch_window_s),
        interval=timedelta(seconds=settings.slack_interval_s),
        quiet=timedelta(seconds=settings.slack_quiet_s),
    )
    links = Links(settings.trace_url_template, settings.dashboard_url)
    await AlertSender(alerts, channel, observer, pace=pace, links=links).keep_telling()


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


async def _keep_pruning(alerts: AlertLog, observer: AlertObserver) -> None:
    while True:
        try:
            await alerts.prune()
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            observer.database_is_away(type(exc).__name__)
        else:
            observer.database_is_there()
        await asyncio.sleep(_PRUNE_EVERY_S)
