"""Draws the results of a run as PNG files."""

from pathlib import Path
from statistics import median

import matplotlib as mpl

from benchmarks.bodies import USUAL_SIZE
from benchmarks.record import Record

mpl.use("Agg")

import matplotlib.pyplot as plt

#: Part, the axis of values, the axis of figures, the figure, and the title.
_PLOTS = (
    ("accept", "connections", "accepted a second", "per_s", "Accepting"),
    ("drain", "handlers at once", "finished a second", "per_s", "Draining a backlog"),
    ("rate", "webhooks a second", "p95 in ms", "p95_ms", "From due to committed"),
    ("rate", "webhooks a second", "CPU in ms", "cpu_ms", "CPU of all parts for a webhook"),
)


def draw(record: Record, folder: Path) -> list[Path]:
    """Draw a plot for each part that was measured at several values, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, set[int]] = {}
    for one in record.results:
        if one.figures and one.cell.size == USUAL_SIZE:
            values.setdefault(one.cell.part, set()).add(one.cell.value)
    return [_lines(record, plot, folder) for plot in _PLOTS if len(values.get(plot[0], ())) > 1]


def _lines(record: Record, plot: tuple[str, str, str, str, str], folder: Path) -> Path:
    part, horizontal, vertical, name, title = plot
    cells = [one.cell for one in record.results if one.cell.part == part and one.figures]
    amounts = sorted({cell.value for cell in cells if cell.size == USUAL_SIZE})
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    # The floor stores nothing and would dwarf the others.
    for system in dict.fromkeys(cell.system for cell in cells if cell.system != "floor"):
        found = {amount: record.values(part, system, amount, name) for amount in amounts}
        found = {amounts.index(amount): rounds for amount, rounds in found.items() if rounds}
        middles = [median(rounds) for rounds in found.values()]
        errors = (
            [median(rounds) - min(rounds) for rounds in found.values()],
            [max(rounds) - median(rounds) for rounds in found.values()],
        )
        axes.errorbar(list(found), middles, errors, label=system, marker="o", capsize=3)
    axes.set_xticks(range(len(amounts)), [f"{amount:,}" for amount in amounts])
    axes.set(xlabel=horizontal, ylabel=vertical, title=f"{title}, 16.7 kB (medians, ranges)")
    if name == "p95_ms":
        axes.set_yscale("log")
    else:
        axes.margins(y=0.1)
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    file = folder / f"benchmark-{part}-{name.partition('_')[0]}.png"
    figure.savefig(file, dpi=100)
    plt.close(figure)
    return file
