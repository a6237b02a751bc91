from typing import Annotated

from cyclopts import App, Parameter
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
from ringback.cli.views.destinations_view import destination_lines, print_destinations
from ringback.metrics.v1.delivery_pb2 import BreakerState

_EXAMPLES = """Examples:

    ringback destinations list
    ringback destinations open twilio --reason "Twilio asked us to stop."
    ringback destinations half-open twilio --reason "One call at a time."
    ringback destinations close twilio --reason "Its errors are expected today."
    ringback destinations auto twilio --reason "The migration is over."
"""

_Name = Annotated[str, Parameter(help="The destination.")]

destinations = App(
    name="destinations",
    help="List the services that handlers call; stop or resume calls to one.",
    help_epilogue=_EXAMPLES,
)


@destinations.command(name="list")
async def _list(*, options: CommonOptions = DEFAULT_OPTIONS) -> None:
    """List the destinations, their states, and how many webhooks wait for them."""
    async with metrics_client(options) as client:
        answer = await client.destinations()
    if options.json:
        print_json(answer)
    elif answer.destinations:
        print_destinations(out(), answer.destinations)
    else:
        out().print(Text("No running processor has a destination.", "dim"))


@destinations.command(name="open")
async def _open(
    name: _Name, /, *, reason: Reason, options: CommonOptions = DEFAULT_OPTIONS
) -> None:
    """Allow no calls to a destination. Webhooks that need it wait, without losing an attempt."""
    await _set(name, BreakerState.BREAKER_STATE_OPEN, reason, options)


@destinations.command(name="half-open")
async def _half_open(
    name: _Name, /, *, reason: Reason, options: CommonOptions = DEFAULT_OPTIONS
) -> None:
    """Allow one call at a time to a destination."""
    await _set(name, BreakerState.BREAKER_STATE_HALF_OPEN, reason, options)


@destinations.command(name="close")
async def _close(
    name: _Name, /, *, reason: Reason, options: CommonOptions = DEFAULT_OPTIONS
) -> None:
    """Allow all calls to a destination, even if they fail."""
    await _set(name, BreakerState.BREAKER_STATE_CLOSED, reason, options)


@destinations.command(name="auto")
async def _auto(
    name: _Name, /, *, reason: Reason, options: CommonOptions = DEFAULT_OPTIONS
) -> None:
    """Let the breakers decide again. One that was open begins with a probe."""
    await _set(name, BreakerState.BREAKER_STATE_UNSPECIFIED, reason, options)


async def _set(
    name: str, state: BreakerState.ValueType, reason: str, options: CommonOptions
) -> None:
    async with metrics_client(options) as client:
        answer = await client.set_destination(name, state, reason=reason)
    show(answer, options, destination_lines(answer.destination))
