"""The table: a row for each fault, for a terminal and as Markdown. Pure."""

from collections.abc import Iterable, Sequence

from rich.text import Text

from chaos.episode import Outcome

HEADINGS = (
    "fault",
    "offered",
    "accepted",
    "refused",
    "unanswered",
    "finished",
    "lost",
    "finished twice",
    "duplicates caught",
    "longest gap s",
    "p99 ms",
    "recovered s",
)


def cells(outcome: Outcome) -> tuple[str, ...]:
    """Give the row of one fault, in the order of the headings."""
    verdict = outcome.verdict
    return (
        outcome.fault.name,
        str(verdict.offered),
        str(verdict.accepted),
        str(verdict.refused),
        str(verdict.unanswered),
        str(verdict.finished),
        str(len(verdict.lost)),
        str(len(verdict.twice)),
        str(verdict.duplicates),
        f"{verdict.gap_s:.1f}",
        "none" if verdict.p99_s is None else f"{verdict.p99_s * 1000:.0f}",
        "never" if verdict.recovered_s is None else f"{verdict.recovered_s:.1f}",
    )


_FIRST_WIDTH = 28
_SHORT = (
    "fault", "offered", "accepted", "refused", "unanswd", "finished", "lost", "twice", "dupl.",
    "gap s", "p99 ms", "recov s",
)  # fmt: skip
_WIDTH = 9


def headings_text() -> str:
    """Give the header for a terminal; rows are printed one by one, so widths are fixed."""
    return _columns(_SHORT)


def as_text(outcome: Outcome) -> str:
    return _columns(cells(outcome))


def broken_text(sentence: str) -> Text:
    """The line of a broken promise."""
    return Text.assemble(("broken", "bold red"), f": {sentence}")


def _columns(parts: Sequence[str]) -> str:
    return parts[0].ljust(_FIRST_WIDTH) + "".join(part.rjust(_WIDTH) for part in parts[1:])


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Give the whole table, and below it every broken promise."""
    rows = [cells(outcome) for outcome in outcomes]
    lines = [_line(HEADINGS), _line(["---", *["---:"] * (len(HEADINGS) - 1)]), *map(_line, rows)]
    broken = [
        f"- `{outcome.fault.name}`: {sentence}"
        for outcome in outcomes
        for sentence in outcome.broken
    ]
    return "\n".join([*lines, "", *broken]).rstrip() + "\n"


def _line(parts: Iterable[str]) -> str:
    return f"| {' | '.join(parts)} |"
