import asyncio
import time

from cyclopts import App
from rich.text import Text

from ringback.cli.client.metrics import (
    DEFAULT_OPTIONS,
    CommonOptions,
    metrics_client,
    print_json,
    show,
)
from ringback.cli.options import Reason
from ringback.cli.terminal import out
from ringback.cli.views.health_view import processing_line
from ringback.metrics import MetricsClient
from ringback.metrics.v1.delivery_pb2 import ProcessingState

_MAX_WAIT_S = 5.0
_POLL_INTERVAL_S = 0.3

pause = App(name="pause", help_epilogue="")
resume = App(name="resume", help_epilogue="")


@pause.default
async def _pause(*, reason: Reason, options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """Stop consuming webhooks. The pause survives restarts.

    Webhooks in flight are finished. The gateway still accepts webhooks; they wait on the broker's
    disk until `ringback resume`.
    """
    async with metrics_client(options) as client:
        answer = await client.pause_processing(reason=reason)
        if options.json:
            print_json(answer)
            return
        out().print(processing_line(await _wait_until_stopped(client, answer.processing)))


@resume.default
async def _resume(*, reason: Reason = "", options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """Consume webhooks again."""
    async with metrics_client(options) as client:
        answer = await client.resume_processing(reason=reason)
    hint = Text("`ringback watch` shows the queues as they empty.", "dim")
    show(answer, options, processing_line(answer.processing), hint)


async def _wait_until_stopped(client: MetricsClient, state: ProcessingState) -> ProcessingState:
    """Wait a few seconds until every processor has stopped consuming; return the state."""
    deadline = time.monotonic() + _MAX_WAIT_S
    while state.processors_paused < state.processors and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_INTERVAL_S)
        latest = (await client.queue_health()).processing
        if latest.paused:
            state = latest
    return state
