"""`ringback topology change` and `prune`: change the retry schedule of a running system."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from ringback.cli.client.addresses import Addresses
from ringback.cli.client.metrics import CommonOptions, metrics_client
from ringback.cli.terminal import EXIT_FAILED, BadInputError, CommandError, err, out
from ringback.cli.views.formatting import plural
from ringback.contract.retry_schedule import InvalidRetryScheduleError, RetrySchedule
from ringback.contract.topology import ScheduleChange
from ringback.local.console import printable
from ringback.metrics import MetricsClient
from ringback.metrics.v1.delivery_pb2 import ProcessingState
from ringback.runtime.amqp import schedule_change
from ringback.runtime.amqp.schedule_change import (
    SETTLE_S,
    OldRetryQueues,
    Step,
    StoppedProcessing,
    old_retry_queues,
    remove_old_retry_queues,
)

_REASON = "The retry schedule moves"


class PausedByApi:
    """A pause of this command is recognised by its reason, so another run may end it.

    The API's data about processors can be a second old, and is written after what it describes.
    """

    def __init__(self, client: MetricsClient, to: RetrySchedule) -> None:
        self._client = client
        self._reason = (
            f"{_REASON} to {to}. If that was cut short: `ringback topology move --to {to}`"
        )
        self._has_paused = False

    async def pause(self) -> None:
        """Pause, unless processing is paused already."""
        state = (await self._client.queue_health()).processing
        if not state.paused:
            await self._client.pause_processing(reason=self._reason)
            self._has_paused = True

    async def in_flight(self) -> int | None:
        """The webhooks in flight; None until every processor has noticed the pause."""
        health = await self._client.queue_health()
        state = health.processing
        if not state.paused or state.processors_paused < state.processors:
            return None
        return health.metrics.active

    async def resume(self) -> None:
        """End our pause, or that of an interrupted change."""
        if self._has_paused or _is_of_a_move((await self._client.queue_health()).processing):
            await self._client.resume_processing(reason="The retry schedule has moved")


def _is_of_a_move(state: ProcessingState) -> bool:
    return state.paused and state.reason.startswith(_REASON)


_SENTENCES = {
    Step.DECLARED: "The new retry queues exist.",
    Step.PAUSED: "Processing is paused; the gateways go on accepting.",
    Step.SETTLED: "Nothing is in flight.",
    Step.UNBOUND: "The old retry queues are unbound.",
    Step.BOUND: "The new retry queues are bound.",
    Step.RESUMED: "Processing goes on.",
}


def move(
    *,
    to: str,
    from_: Annotated[str, Parameter(name="--from", show_default=False)] = "",
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    stopped: Annotated[bool, Parameter(negative="")] = False,
    settle: Annotated[float, Parameter(show_default=True)] = SETTLE_S,
    data: Path = Path(".ringback"),
) -> None:
    """Move a running system to another retry schedule. None of its messages is lost or copied.

    Processing is paused while the bindings are swapped. To run it again after it was cut short,
    at any moment, is safe, and finishes what was begun.

    Parameters
    ----------
    to
        The new waits between attempts, such as 5s,1m,10m.
    from_
        The retry schedule that is bound now. Needed only where RINGBACK_RABBITMQ_MANAGEMENT_URL is
        not set: AMQP does not tell bindings. dry_run Tell what would be changed, and change
        nothing. stopped The processors are stopped: pause nobody, ask no metrics service. settle
        For how many seconds nothing may be seen to move before the swap. The broker's figures can
        be ten seconds old. data The folder that `ringback up` was given.
    """
    addresses = Addresses.from_env(state_dir=data)
    console = out()
    reached: list[Step] = []

    def done(step: Step) -> None:
        reached.append(step)
        console.print(_SENTENCES[step])

    asked = schedule_change.Asked(
        amqp_url=addresses.amqp,
        to=_schedule(to),
        old=_schedule(from_) if from_ else None,
        management_url=addresses.management,
        settle_s=settle,
        done=done,
        waits=lambda sentence: err().print(Text(sentence, "dim"), soft_wrap=True),
    )
    if dry_run:
        _tell_plan(console, asyncio.run(schedule_change.planned(asked)), asked.to)
        return
    try:
        plan = asyncio.run(_move(asked, data, is_stopped=stopped))
    except BaseException:
        if Step.PAUSED in reached and not stopped:
            err().print("Processing stays paused. Run the same command again, to finish.")
        raise
    _tell_what_is_next(console, plan, asked.to)


async def _move(asked: schedule_change.Asked, data: Path, *, is_stopped: bool) -> ScheduleChange:
    if is_stopped:
        return await schedule_change.move(asked, StoppedProcessing())
    async with metrics_client(CommonOptions(data=data)) as client:
        return await schedule_change.move(asked, PausedByApi(client, asked.to))


def _schedule(text: str) -> RetrySchedule:
    try:
        schedule = RetrySchedule.parse(text)
    except InvalidRetryScheduleError as exc:
        raise BadInputError(f"{text!r} is no retry schedule: {exc}.") from exc
    if not schedule.retry_queues:
        raise BadInputError("A retry schedule has at least one wait, such as 2s.")
    return schedule


def _tell_plan(console: Console, plan: ScheduleChange, to: RetrySchedule) -> None:
    if plan.is_done:
        console.print(f"The retry schedule {to} is bound: there is nothing to do.")
    for binding in plan.unbind:
        console.print(
            f"would unbind  {printable(binding.queue)} from {printable(binding.routing_key)}"
        )
    for binding in plan.bind:
        console.print(
            f"would bind    {printable(binding.queue)} to {printable(binding.routing_key)}"
        )


def _tell_what_is_next(console: Console, plan: ScheduleChange, to: RetrySchedule) -> None:
    if plan.is_done:
        console.print(f"The retry schedule {to} was bound already.")
        return
    console.print(
        f"Now set RINGBACK_RETRY_SCHEDULE={to} for processors, metrics services and gateways, and "
        "restart them one after the other. Then `ringback topology prune` deletes old retry queues"
        " that "
        "are empty.",
        soft_wrap=True,
    )


def prune(
    *,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    settle: float = SETTLE_S,
) -> int:
    """Delete empty retry queues of former schedules; exit with 1 while some have messages.

    Do it after all services were restarted with the new retry schedule: a service with the old one
    takes no work when it connects anew and a retry queue is missing.

    Parameters
    ----------
    dry_run
        Tell what would be deleted, and delete nothing.
    settle
        For how many seconds a retry queue must be seen to be empty. The broker's figures can be ten
        seconds old.
    """
    addresses = Addresses.from_env()
    management_url = addresses.management
    if management_url is None:
        raise CommandError(
            "Only the management API tells whether a retry queue is empty. Set "
            "RINGBACK_RABBITMQ_MANAGEMENT_URL."
        )
    if dry_run:
        found = asyncio.run(old_retry_queues(addresses.amqp, management_url))
    else:
        found = asyncio.run(
            remove_old_retry_queues(
                addresses.amqp,
                management_url,
                settle_s=settle,
                waits=lambda sentence: err().print(Text(sentence, "dim")),
            )
        )
    return _report(out(), found, "would delete" if dry_run else "deleted")


def _report(console: Console, found: OldRetryQueues, verb: str) -> int:
    for name in found.empty:
        console.print(f"{verb}  {printable(name)}")
    for name, count in found.held.items():
        holds = "its messages are not counted yet" if count is None else plural(count, "message")
        console.print(f"kept  {printable(name)}: {holds}")
    if not found.empty and not found.held:
        console.print("There are no retry queues of former retry schedules.")
    return EXIT_FAILED if found.held else 0
