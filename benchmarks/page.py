"""Writes the tables of a run in Markdown, and into docs/benchmarks.md between the markers."""

from collections.abc import Iterator, Sequence
from pathlib import Path

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
    ("CPU of all parts in ms, 100/s", "rate", 100, "cpu_ms"),
    ("highest rate held, 5 handlers", "held", 5, "per_s"),
    ("p99 of the lateness of retries in ms", "failing", 20_000, "p99_ms"),
    ("memory of all parts in MiB", "memory", 64, "mib"),
)
_TITLES = {
    "accept": "Accepting",
    "drain": "Draining a backlog",
    "rate": "At a constant rate",
    "held": "The highest rate held with a p95 below 100 ms",
    "failing": "Lateness of retries while a backlog is drained",
    "memory": "Memory of all parts after a burst",
    "growth": "With a large log",
    "backlog": "With a large backlog",
    "fairness": "Ten calm orgs, beside one that floods and whose handler hangs",
}
#: Figure, heading, and its digits after the point.
_COLUMNS = {
    "per_s": ("per second", 0),
    "accepted_per_s": ("accepted/s", 0),
    "finished_per_s": ("finished/s", 0),
    "p50_ms": ("p50 ms", 1),
    "p95_ms": ("p95 ms", 1),
    "p99_ms": ("p99 ms", 1),
    "calm_p50_ms": ("p50 ms calm", 1),
    "busy_p50_ms": ("p50 ms busy", 1),
    "flood_p50_ms": ("p50 ms flood", 1),
    "calm_p99_ms": ("p99 ms calm", 1),
    "busy_p99_ms": ("p99 ms busy", 1),
    "flood_p99_ms": ("p99 ms flood", 1),
    "parked": ("parked of calm orgs", 0),
    "share": ("slots of the flooding org in %", 0),
    "cpu_ms": ("CPU ms", 2),
    "cpu_gateway_ms": ("server", 2),
    "cpu_processor_ms": ("worker", 2),
    "cpu_broker_ms": ("broker", 2),
    "cpu_database_ms": ("database", 2),
    "statements": ("statements", 1),
    "wal_kb": ("WAL kB", 1),
    "fsyncs": ("fsyncs", 2),
    "refused": ("refused", 0),
    "retries": ("retries", 0),
    "mib": ("MiB", 0),
    "gateway_mib": ("server", 0),
    "processor_mib": ("worker", 0),
    "metrics_mib": ("metrics", 0),
    "broker_mib": ("broker", 0),
    "database_mib": ("database", 0),
    "fsync_ms": ("disk ms", 2),
    "load": ("load", 1),
}


def sentence(result: Result) -> str:
    """A result in one line."""
    if result.failure:
        return f"{result.cell.text}: not measured, {result.failure}"
    columns = [
        f"{heading} {result.figures[name]:,.{digits}f}"
        for name, (heading, digits) in _COLUMNS.items()
        if name in result.figures
    ]
    ledger = f"lost {result.lost}, doubled {result.doubled}"
    return f"{result.cell.text}: {', '.join([*columns, ledger])}"


def tables(record: Record) -> str:
    """All tables of a run, in Markdown."""
    return "\n".join(
        [
            comparisons(record),
            *_parts(record.results),
            *("## Conditions", "", "| | |", "|---|---|"),
            *(f"| {name} | {value} |" for name, value in record.conditions.items()),
        ]
    )


def comparisons(record: Record) -> str:
    """Ringback beside the system it replaces, and beside itself without traces if measured."""
    headings = {
        "replaced": "## Ringback and the system it replaces",
        "ringback-untraced": "## Ringback without traces",
    }
    lines: list[str] = []
    for other, heading in headings.items():
        rows = list(_compared(record, other))
        if rows:
            head = (f"| | {other} | ringback | ratio |", "|---|---|---|---|")
            lines += [heading, "", *head, *rows, ""]
    return "\n".join(lines)


def publish(record: Record) -> None:
    """Write the tables and plots of a run into docs/benchmarks.md and docs/pictures/."""
    # It imports matplotlib, which takes a second of each process that collects tests.
    from benchmarks import plots  # ruff: ignore[import-outside-top-level]

    pictures = plots.draw(record, PAGE.parent / "pictures")
    links = "\n\n".join(f"![{file.stem}](pictures/{file.name})" for file in pictures)
    text = between_markers(PAGE.read_text(encoding="utf-8"), f"{tables(record)}\n\n{links}")
    PAGE.write_text(text, encoding="utf-8")


def between_markers(page: str, text: str) -> str:
    """Replace what lies between the markers of a page."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def _compared(record: Record, other: str) -> Iterator[str]:
    for heading, part, value, name in _COMPARED:
        theirs = record.values(part, other, value, name)
        ours = record.values(part, "ringback", value, name)
        if theirs and ours:
            ratio, digits = paired_ratio(ours, theirs), _COLUMNS[name][1]
            columns = f"{spread(theirs, digits)} | {spread(ours, digits)} | {ratio:.2f}"
            yield f"| {heading} | {columns} |"


def _parts(results: Sequence[Result]) -> Iterator[str]:
    cells: dict[Cell, list[Result]] = {}
    for one in results:
        cells.setdefault(one.cell, []).append(one)
    for part, unit in UNITS.items():
        rows = {cell: rounds for cell, rounds in cells.items() if cell.part == part}
        if not rows:
            continue
        measured = {name for each in rows.values() for one in each for name in one.figures}
        names = [name for name in _COLUMNS if name in measured]
        headings = " | ".join(_COLUMNS[name][0] for name in names)
        yield from (f"## {_TITLES[part]}", "")
        yield f"| system | {unit} | body | {headings} | lost | doubled |"
        yield "|---|---|---|" + "---|" * (len(names) + 2)
        yield from (_row(cell, each, names) for cell, each in rows.items())
        yield ""


def _row(cell: Cell, rounds: Sequence[Result], names: Sequence[str]) -> str:
    good = [one for one in rounds if not one.failure]
    start = f"| {cell.system} | {cell.value:,} | {cell.size} |"
    if not good:
        return f"{start} not measured: {rounds[0].failure} |" + " |" * (len(names) + 1)
    texts = [
        spread([one.figures[name] for one in good], _COLUMNS[name][1])
        if name in good[0].figures
        else ""
        for name in names
    ]
    ledger = f"{sum(one.lost for one in good):,} | {sum(one.doubled for one in good):,}"
    return f"{start} {' | '.join(texts)} | {ledger} |"
