import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from ringback.cli.addresses import Addresses
from ringback.cli.failure import BadInputError
from ringback.cli.metrics_call import Asked, metrics_client
from ringback.cli.paused_by_api import PausedByApi
from ringback.cli.terminal import err, out
from ringback.contract.ladder import BadLadderError, Ladder
from ringback.contract.ladder_move import LadderMove
from ringback.local.console import printable
from ringback.runtime import ladder_move
from ringback.runtime.ladder_move import SETTLE_S, NobodyProcesses, Step

_SENTENCES = {
    Step.DECLARED: "The new rungs exist.",
    Step.PAUSED: "Processing is paused; the gateways go on accepting.",
    Step.SETTLED: "Nothing is in hand.",
    Step.UNBOUND: "The old rungs are unbound.",
    Step.BOUND: "The new rungs are bound.",
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
    """Move a running system to another retry ladder. None of its messages is lost or copied.

    Processing is paused while the bindings are swapped. To run it again after it was cut short,
    at any moment, is safe, and finishes what was begun.

    Parameters
    ----------
    to
        The new waits between attempts, such as 5s,1m,10m.
    from_
        The ladder that is bound now. Needed only where RINGBACK_RABBITMQ_MANAGEMENT_URL is not
        set: AMQP does not tell bindings.
    dry_run
        Tell what would be changed, and change nothing.
    stopped
        The processors are stopped: pause nobody, ask no metrics service.
    settle
        For how many seconds nothing may be seen to move before the swap. The broker's figures can
        be ten seconds old.
    data
        The folder that `ringback up` was given.
    """
    addresses = Addresses.from_env(state_dir=data)
    console = out()
    reached: list[Step] = []

    def done(step: Step) -> None:
        reached.append(step)
        console.print(_SENTENCES[step])

    asked = ladder_move.Asked(
        amqp_url=addresses.amqp,
        to=_ladder(to),
        old=_ladder(from_) if from_ else None,
        management_url=addresses.management,
        settle_s=settle,
        done=done,
        waits=lambda sentence: err().print(Text(sentence, "dim"), soft_wrap=True),
    )
    if dry_run:
        _tell_plan(console, asyncio.run(ladder_move.planned(asked)), asked.to)
        return
    try:
        plan = asyncio.run(_move(asked, data, is_stopped=stopped))
    except BaseException:
        if Step.PAUSED in reached and not stopped:
            err().print("Processing stays paused. Run the same command again, to finish.")
        raise
    _tell_what_is_next(console, plan, asked.to)


async def _move(asked: ladder_move.Asked, data: Path, *, is_stopped: bool) -> LadderMove:
    if is_stopped:
        return await ladder_move.move(asked, NobodyProcesses())
    async with metrics_client(Asked(data=data)) as client:
        return await ladder_move.move(asked, PausedByApi(client, asked.to))


def _ladder(text: str) -> Ladder:
    try:
        ladder = Ladder.parse(text)
    except BadLadderError as exc:
        raise BadInputError(f"{text!r} is no ladder: {exc}.") from exc
    if not ladder.rungs:
        raise BadInputError("A ladder has at least one wait, such as 2s.")
    return ladder


def _tell_plan(console: Console, plan: LadderMove, to: Ladder) -> None:
    if plan.is_done:
        console.print(f"The ladder {to} is bound: there is nothing to do.")
    for binding in plan.unbind:
        console.print(
            f"would unbind  {printable(binding.queue)} from {printable(binding.routing_key)}"
        )
    for binding in plan.bind:
        console.print(
            f"would bind    {printable(binding.queue)} to {printable(binding.routing_key)}"
        )


def _tell_what_is_next(console: Console, plan: LadderMove, to: Ladder) -> None:
    if plan.is_done:
        console.print(f"The ladder {to} was bound already.")
        return
    console.print(
        f"Now set RINGBACK_RETRY_LADDER={to} for processors, metrics services and gateways, and "
        "restart them one after the other. Then `ringback topology prune` deletes old rungs that "
        "are empty.",
        soft_wrap=True,
    )
