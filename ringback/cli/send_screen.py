"""The output of `ringback send`: progress and results."""

from http import HTTPStatus

from rich.console import Group, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
)
from rich.table import Table
from rich.text import Text

from ringback.cli.outcomes import Outcomes
from ringback.cli.tally import Tally, percentile
from ringback.cli.terminal import err

_GOOD, _BAD, _DIM = "green", "red", "dim"
_STATUS_STYLES = {"completed": _GOOD, "duplicate": "cyan", "dead_letter": "yellow"}


def progress_bar(*figures: tuple[str, str]) -> Progress:
    """A progress bar on stderr, followed by figures such as `{task.fields[rate]}` with a style.

    It is hidden if stderr is not a terminal.
    """
    console = err()
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        *(TextColumn(figure, style=style, markup=False) for figure, style in figures),
    ]
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def sent_table(name: str, tally: Tally) -> RenderableType:
    """The figures of a run, one per line, then the reasons of rejections."""
    table = _figures()
    table.add_row("payload", Text(name))
    table.add_row("offered", f"{tally.offered:,}")
    table.add_row("accepted", Text(f"{tally.accepted:,}", _GOOD if tally.all_accepted else ""))
    for status, count in sorted(tally.refused.items()):
        table.add_row(f"refused {status}", Text(f"{count:,}  {_phrase(status)}", _BAD))
    for words, count in sorted(tally.errors.items()):
        table.add_row("error", Text(f"{count:,}  {words}", _BAD))
    table.add_row("took", _took(tally))
    # For a single answer, only the total time is useful.
    for percent in (50, 99) if tally.offered > 1 else ():
        latency_ms = percentile(tally.latencies_ms, percent)
        if latency_ms is not None:
            table.add_row(f"answer p{percent}", f"{latency_ms:,.1f} ms")
    if tally.offered == tally.accepted == 1:
        table.add_row("job id", tally.job_ids[0])
    reasons = [
        Text(f"{status}: {reason}", _BAD)
        for status, reason in sorted(tally.reasons.items())
        if reason
    ]
    return Group(table, *reasons)


def outcomes_table(outcomes: Outcomes) -> RenderableType:
    table = _figures()
    left = outcomes.accepted - outcomes.finished
    finished = f"{outcomes.finished:,} of {outcomes.accepted:,}"
    table.add_row("finished", Text(finished, _BAD if left else _GOOD))
    for status, count in sorted(outcomes.by_status.items()):
        words = status.replace("_", " ")
        table.add_row(f"  {words}", Text(f"{count:,}", _STATUS_STYLES.get(status, "")))
    if left:
        table.add_row("not finished", Text(f"{left:,}", _BAD))
    if outcomes.retried:
        table.add_row("retried", f"{outcomes.retried:,}")
    twice = outcomes.completed_twice + outcomes.given_twice
    table.add_row("done twice", Text(f"{twice:,}" if twice else "none", _BAD if twice else _GOOD))
    return table


def _figures() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style=_DIM, no_wrap=True, min_width=12)
    table.add_column(overflow="fold")
    return table


def _took(tally: Tally) -> str:
    seconds = tally.elapsed_s
    time = f"{seconds:,.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
    rate = f", {tally.rate_per_s:,.0f} accepted per second" if tally.accepted > 1 else ""
    return time + rate


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
