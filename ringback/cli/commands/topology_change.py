"""`ringback topology change` and `prune`: change the retry schedule of a running system."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from ringback.cli.client.addresses import Addresses
from ringback.cli.client.metrics import CommonOptions, metrics_client
from ringback.cli.options import Flag
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

_REASON = "Changing the retry schedule"


class PausedByApi:
    """Pauses processing through the metrics API.

    A second run recognises the pause of an interrupted one by its reason, and ends it. The data
    about processors can be a second old.
    """

    def __init__(self, client: MetricsClient, to: RetrySchedule) -> None:
        self._client = client
        self._reason = (
            f"{_REASON} to {to}. If the command was interrupted, run `ringback topology change "
            f"--to {to}` again"
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
        """End the pause of this change or of an interrupted one; other pauses stay."""
        if self._has_paused or _is_for_change((await self._client.queue_health()).processing):
            await self._client.resume_processing(reason="The retry schedule was changed")


def _is_for_change(state: ProcessingState) -> bool:
    return state.paused and state.reason.startswith(_REASON)


_SENTENCES = {
    Step.DECLARED: "The new retry queues exist.",
    Step.PAUSED: "Processing is paused; the gateways still accept webhooks.",
    Step.SETTLED: "Nothing is in flight.",
    Step.UNBOUND: "The old retry queues are unbound.",
    Step.BOUND: "The new retry queues are bound.",
    Step.RESUMED: "Processing continues.",
}


def change(
    *,
    to: str,
    from_: Annotated[str, Parameter(name="--from", show_default=False)] = "",
    dry_run: Flag = False,
    stopped: Flag = False,
    settle: float = SETTLE_S,
    data: Path = Path(".ringback"),
) -> None:
    """Change the retry schedule of a running system, without losing or copying a webhook.

    The command pauses processing, waits until nothing is in flight, replaces the bindings of the
    retry queues, and resumes. If it is interrupted, run it again: it finishes the change.

    Parameters
    ----------
    to
        The new delays between attempts, such as 5s,1m,10m.
    from_
        The current retry schedule. Required without RINGBACK_RABBITMQ_MANAGEMENT_URL, because AMQP
        cannot list bindings.
    dry_run
        Show what would change, and change nothing.
    stopped
        All processors are stopped, so do not pause processing and do not call the metrics service.
    settle
        How many seconds nothing may be in flight before the bindings are replaced. The broker's
        numbers can be ten seconds old.
    data
        The data folder of `ringback up`.
    """
    addresses = Addresses.from_env(state_dir=data)
    console = out()
    reached: list[Step] = []

    def done(step: Step) -> None:
        reached.append(step)
        console.print(_SENTENCES[step])

    request = schedule_change.ChangeRequest(
        amqp_url=addresses.amqp,
        to=_schedule(to),
        old=_schedule(from_) if from_ else None,
        management_url=addresses.management,
        settle_s=settle,
        done=done,
        waits=lambda sentence: err().print(Text(sentence, "dim"), soft_wrap=True),
    )
    if dry_run:
        _print_plan(console, asyncio.run(schedule_change.planned(request)), request.to)
        return
    try:
        plan = asyncio.run(_change(request, data, is_stopped=stopped))
    except BaseException:
        if Step.PAUSED in reached and not stopped:
            err().print("Processing is still paused. Run the same command again to finish.")
        raise
    _print_next_steps(console, plan, request.to)


async def _change(
    request: schedule_change.ChangeRequest, data: Path, *, is_stopped: bool
) -> ScheduleChange:
    if is_stopped:
        return await schedule_change.change_schedule(request, StoppedProcessing())
    async with metrics_client(CommonOptions(data=data)) as client:
        return await schedule_change.change_schedule(request, PausedByApi(client, request.to))


def _schedule(text: str) -> RetrySchedule:
    try:
        schedule = RetrySchedule.parse(text)
    except InvalidRetryScheduleError as exc:
        raise BadInputError(f"{text!r} is not a retry schedule: {exc}.") from exc
    if not schedule.steps:
        raise BadInputError("A retry schedule needs at least one delay, such as 2s.")
    return schedule


def _print_plan(console: Console, plan: ScheduleChange, to: RetrySchedule) -> None:
    if plan.is_done:
        console.print(f"The retry schedule is already {to}: nothing to do.")
    for binding in plan.unbind:
        console.print(
            f"would unbind  {printable(binding.queue)} from {printable(binding.routing_key)}"
        )
    for binding in plan.bind:
        console.print(
            f"would bind    {printable(binding.queue)} to {printable(binding.routing_key)}"
        )


def _print_next_steps(console: Console, plan: ScheduleChange, to: RetrySchedule) -> None:
    if plan.is_done:
        console.print(f"The retry schedule was already {to}.")
        return
    console.print(
        f"Next: set RINGBACK_RETRY_SCHEDULE={to} for processors, metrics services and gateways, "
        "and restart them one after the other. Then delete the old, empty retry queues with "
        "`ringback topology prune`.",
        soft_wrap=True,
    )


def prune(
    *,
    dry_run: Flag = False,
    settle: float = SETTLE_S,
) -> int:
    """Delete the empty retry queues of earlier schedules.

    Restart all services with the new retry schedule first: a service with the old one stops
    consuming if it reconnects and a retry queue is missing. The exit status is 1 while an old
    queue still contains messages.

    Parameters
    ----------
    dry_run
        Show what would be deleted, and delete nothing.
    settle
        How many seconds a retry queue must stay empty before it is deleted. The broker's numbers
        can be ten seconds old.
    """
    addresses = Addresses.from_env()
    management_url = addresses.management
    if management_url is None:
        raise CommandError(
            "Only the broker's management API shows whether a retry queue is empty. Set "
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
    return print_old_queues(out(), found, "would delete" if dry_run else "deleted")


def print_old_queues(console: Console, found: OldRetryQueues, verb: str) -> int:
    """Print what was deleted and what was kept; the exit status is 1 if a queue was kept."""
    for name in found.empty:
        console.print(f"{verb}  {printable(name)}")
    for name, count in found.nonempty.items():
        content = "the broker has not counted it yet" if count is None else plural(count, "message")
        console.print(f"kept  {printable(name)}: {content}")
    if not found.empty and not found.nonempty:
        console.print("There are no retry queues of earlier schedules.")
    return EXIT_FAILED if found.nonempty else 0
