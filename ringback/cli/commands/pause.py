import asyncio
import time

from cyclopts import App
from rich.text import Text

from ringback.cli.client.metrics import (
    DEFAULT_OPTIONS,
    CommonOptions,
    OptionalText,
    metrics_client,
    print_json,
)
from ringback.cli.terminal import out
from ringback.cli.views.health_view import processing_line
from ringback.metrics import MetricsClient
from ringback.metrics.v1.admin_service_pb2 import PauseProcessingResponse, ResumeProcessingResponse
from ringback.metrics.v1.delivery_pb2 import ProcessingState

_NOTICED_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.3

pause = App(name="pause", help_epilogue="")
resume = App(name="resume", help_epilogue="")


@pause.default
def _pause(*, reason: str, options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """Let processors finish what they have in flight and take no more, also after a restart.

    The gateway goes on accepting: webhooks wait on the broker's disk until `ringback resume`.

    Parameters
    ----------
    reason
        Why, for those who look later.
    """
    asyncio.run(_do_pause(reason, options))


@resume.default
def _resume(*, reason: OptionalText = "", options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """Let processors take work again.

    Parameters
    ----------
    reason
        Why, for those who look later.
    """
    asyncio.run(_do_resume(reason, options))


async def _do_pause(reason: str, options: CommonOptions) -> None:
    async with metrics_client(options) as client:
        state = await client.pause_processing(reason=reason)
        if options.json:
            print_json(PauseProcessingResponse(processing=state))
            return
        out().print(processing_line(await _noticed(client, state)))


async def _do_resume(reason: str, options: CommonOptions) -> None:
    async with metrics_client(options) as client:
        state = await client.resume_processing(reason=reason)
    if options.json:
        print_json(ResumeProcessingResponse(processing=state))
    else:
        out().print(processing_line(state))
        out().print(Text("`ringback watch` shows how the queues empty.", "dim"))


async def _noticed(client: MetricsClient, state: ProcessingState) -> ProcessingState:
    """The state once every processor has stopped consuming, or after a few seconds."""
    deadline = time.monotonic() + _NOTICED_WITHIN_S
    while state.processors_paused < state.processors and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_EVERY_S)
        latest = (await client.queue_health()).processing
        if latest.paused:
            state = latest
    return state
