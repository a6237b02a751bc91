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
    ("accept", "connections", "accepted a second", "per_s", "Accepting, 16.7 kB"),
    ("drain", "handlers at once", "finished a second", "per_s", "Draining a backlog"),
    ("rate", "webhooks a second", "p95 in ms", "p95_ms", "From due to committed"),
)


def draw(record: Record, folder: Path) -> list[Path]:
    """Draw a plot for each part that was measured, and give the files."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _bars(record, plot, folder)
        for plot in _PLOTS
        if any(one.cell.part == plot[0] and one.figures for one in record.results)
    ]


def _bars(record: Record, plot: tuple[str, str, str, str, str], folder: Path) -> Path:
    part, horizontal, vertical, name, title = plot
    cells = [one.cell for one in record.results if one.cell.part == part and one.figures]
    amounts = sorted({cell.value for cell in cells if cell.size == USUAL_SIZE})
    # The floor stores nothing and would dwarf the others.
    systems = list(dict.fromkeys(cell.system for cell in cells if cell.system != "floor"))
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    width = 0.8 / max(len(systems), 1)
    for number, system in enumerate(systems):
        found = [record.values(part, system, amount, name) or [0.0] for amount in amounts]
        places = [at + (number - (len(systems) - 1) / 2) * width for at in range(len(amounts))]
        errors = zip(
            *((median(one) - min(one), max(one) - median(one)) for one in found), strict=True
        )
        axes.bar(
            places, list(map(median, found)), width, label=system, yerr=list(errors), capsize=2
        )
    axes.set_xticks(range(len(amounts)), [f"{amount:,}" for amount in amounts])
    axes.set(xlabel=horizontal, ylabel=vertical, title=f"{title} (medians, ranges)")
    axes.legend()
    file = folder / f"benchmark-{part}.png"
    figure.savefig(file, dpi=100)
    plt.close(figure)
    return file
