"""`python -m chaos outage`: a node or a destination is away for a while, and it is measured."""

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import uvloop
from cyclopts import App, Parameter
from cyclopts.validators import Number

from chaos.destination_outage import measure_destination
from chaos.episode import Outcome, play
from chaos.fault import Fault, Part, between
from chaos.load.webhook import Mix
from chaos.stage import Stage, running_stage
from chaos.table import broken_text
from chaos.verdict import percentile_s
from ringback.cli.terminal import EXIT_FAILED, out
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase

_SETTLED_S = 5.0
_ANSWERED_WITHIN_S = 0.1
_FINISHED_WITHIN_S = 60.0
_RESUMES_WITHIN_S = 5.0

outage = App(name="outage", help_epilogue="")


@outage.default
def _outage(
    *,
    part: Literal["broker", "database", "destination"],
    seconds: Annotated[float, Parameter(validator=Number(gt=0, lte=3600))] = 60.0,
    rate: Annotated[float, Parameter(validator=Number(gt=0, lte=2000))] = 200.0,
) -> int:
    """Stop a node, or a service that handlers call, for a while under load, and measure it.

    The load continues until every webhook of the outage is finished. The exit status is 0 if every
    webhook was accepted and finished once, and no attempt was wasted. A node has two more bars: 99
    of 100 answers within 100 ms while it was down, and all finished within 60 s after its return.
    A destination may cost the attempts that open its breaker.

    Parameters
    ----------
    part
        A node: broker (RabbitMQ) or database (PostgreSQL); or destination: every handler calls it.
    seconds
        How long it is down.
    rate
        Webhooks a second.
    """
    if part == "destination":
        return measure_destination(seconds, rate)
    outcome = uvloop.run(_play(Part(part), seconds, rate))
    broken = [*outcome.broken, *_too_slow(outcome)]
    _print_result(outcome, broken)
    return EXIT_FAILED if broken else 0


async def _play(part: Part, seconds: float, rate: float) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="ringback-chaos-") as folder:
        async with running_stage(Path(folder), is_measured=True) as stage:
            await stage.settled(_SETTLED_S)
            fault = _outage_of(part, seconds)
            return await play(stage, fault, per_s=rate, until_recovered=True)


def _too_slow(outcome: Outcome) -> list[str]:
    broken = []
    p99_s = _percentile_s(outcome, 99)
    if p99_s is None or p99_s > _ANSWERED_WITHIN_S:
        broken.append(
            f"99 of 100 answers did not arrive within {_ANSWERED_WITHIN_S * 1000:.0f} ms."
        )
    recovered_s = outcome.verdict.recovered_s
    if recovered_s is None or recovered_s > _FINISHED_WITHIN_S:
        broken.append(
            f"Not all webhooks were finished within {_FINISHED_WITHIN_S:.0f} s after its return."
        )
    return broken


def _print_result(outcome: Outcome, broken: list[str]) -> None:
    console, verdict = out(), outcome.verdict
    console.print(outcome.fault.sentence)
    console.print(
        f"{verdict.offered} offered, {verdict.accepted} accepted, {verdict.refused} refused, "
        f"{verdict.unanswered} unanswered, {verdict.finished} finished, {len(verdict.lost)} lost, "
        f"{len(verdict.twice)} finished twice, {verdict.wasted_attempts} attempts wasted"
    )
    percentiles = ((percent, _percentile_s(outcome, percent)) for percent in (50, 99, 99.9, 100))
    console.print(
        "answers during the outage: "
        + ", ".join(
            f"p{percent:g} {'none' if wait_s is None else f'{wait_s * 1000:.1f} ms'}"
            for percent, wait_s in percentiles
        )
    )
    console.print(
        f"resumed {_after(verdict.resumed_s)}, all finished {_after(verdict.recovered_s)}"
    )
    for sentence in broken:
        console.print(broken_text(sentence), soft_wrap=True)


def _percentile_s(outcome: Outcome, percent: float) -> float | None:
    return percentile_s(outcome.offers, percent, since=outcome.began_at, until=outcome.ended_at)


def _after(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s after its return"


def _outage_of(part: Part, seconds: float) -> Fault:
    """Stop RabbitMQ or PostgreSQL for a while."""

    def node(stage: Stage) -> PrivateBroker | PrivateDatabase:
        return stage.broker if part is Part.BROKER else stage.database

    return Fault(
        name=f"{part}-stopped",
        sentence=f"The {part} is stopped for {seconds:g} s.",
        part=part,
        strike=between(lambda stage: node(stage).stop(), lambda stage: node(stage).start()),
        hold_s=seconds,
        resumes_within_s=_RESUMES_WITHIN_S if part is Part.DATABASE else None,
        mix=Mix(failing_in_ten=1),
        is_mixed=False,
    )
