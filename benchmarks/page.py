"""Writes the tables of a run in Markdown, and into docs/benchmarks.md between the markers."""

from collections.abc import Iterator, Sequence
from itertools import starmap
from pathlib import Path

from benchmarks import plots
from benchmarks.cells import UNITS, Cell, Result
from benchmarks.figures import paired_ratio, spread
from benchmarks.record import Record

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- begin of the run -->", "<!-- end of the run -->"

#: Heading, part, value and figure.
_COMPARED = (
    ("accepted/s, 64 connections", "accept", 64, "per_s"),
    ("accepted/s, 16 connections", "accept", 16, "per_s"),
    ("accepted/s, 8 connections", "accept", 8, "per_s"),
    ("p99 of accepting in ms, 64 connections", "accept", 64, "p99_ms"),
    ("finished/s, 5 handlers", "drain", 5, "per_s"),
    ("finished/s, 50 handlers", "drain", 50, "per_s"),
    ("p95 from due to committed in ms, 200/s", "rate", 200, "p95_ms"),
)
_TITLES = {"accept": "Accepting", "drain": "Draining a backlog", "rate": "At a constant rate"}
#: Heading, figure, and its digits after the point.
_COLUMNS = (
    ("per second", "per_s", 0),
    ("p50 ms", "p50_ms", 1),
    ("p95 ms", "p95_ms", 1),
    ("p99 ms", "p99_ms", 1),
    ("CPU ms", "cpu_ms", 2),
)


def sentence(result: Result) -> str:
    """A result in one line."""
    if result.failure:
        return f"{result.cell.text}: not measured, {result.failure}"
    columns = [
        f"{heading} {result.figures[name]:,.{digits}f}"
        for heading, name, digits in _COLUMNS
        if name in result.figures
    ]
    ledger = f"lost {result.lost}, doubled {result.doubled}"
    return f"{result.cell.text}: {', '.join([*columns, ledger])}"


def tables(record: Record) -> str:
    """All tables of a run, in Markdown."""
    return "\n".join(
        [
            *("## Ringback and the system it replaces", "", *_compared(record), ""),
            *_parts(record.results),
            *("## Conditions", "", "| | |", "|---|---|"),
            *(f"| {name} | {value} |" for name, value in record.conditions.items()),
        ]
    )


def publish(record: Record) -> None:
    """Write the tables and plots of a run into docs/benchmarks.md and docs/pictures/."""
    pictures = plots.draw(record, PAGE.parent / "pictures")
    links = "\n\n".join(f"![{file.stem}](pictures/{file.name})" for file in pictures)
    text = between_markers(PAGE.read_text(encoding="utf-8"), f"{tables(record)}\n\n{links}")
    PAGE.write_text(text, encoding="utf-8")


def between_markers(page: str, text: str) -> str:
    """Replace what lies between the markers of a page."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def _compared(record: Record) -> Iterator[str]:
    yield "| | Express and BullMQ | Ringback | ratio |"
    yield "|---|---|---|---|"
    for heading, part, value, name in _COMPARED:
        theirs = record.values(part, "replaced", value, name)
        ours = record.values(part, "ringback", value, name)
        if theirs and ours:
            ratio = paired_ratio(ours, theirs)
            yield f"| {heading} | {spread(theirs)} | {spread(ours)} | {ratio:.2f} |"


def _parts(results: Sequence[Result]) -> Iterator[str]:
    cells: dict[Cell, list[Result]] = {}
    for one in results:
        cells.setdefault(one.cell, []).append(one)
    for part, unit in UNITS.items():
        rows = {cell: rounds for cell, rounds in cells.items() if cell.part == part}
        if not rows:
            continue
        headings = " | ".join(heading for heading, *_ in _COLUMNS)
        yield from (f"## {_TITLES[part]}", "")
        yield f"| system | {unit} | body | {headings} | lost | doubled |"
        yield "|---|---|---|" + "---|" * (len(_COLUMNS) + 2)
        yield from starmap(_row, rows.items())
        yield ""


def _row(cell: Cell, rounds: Sequence[Result]) -> str:
    good = [one for one in rounds if not one.failure]
    start = f"| {cell.system} | {cell.value:,} | {cell.size} |"
    if not good:
        return f"{start} not measured: {rounds[0].failure} |" + " |" * (len(_COLUMNS) + 1)
    texts = [
        spread([one.figures[name] for one in good], digits) if name in good[0].figures else ""
        for _, name, digits in _COLUMNS
    ]
    ledger = f"{sum(one.lost for one in good):,} | {sum(one.doubled for one in good):,}"
    return f"{start} {' | '.join(texts)} | {ledger} |"
