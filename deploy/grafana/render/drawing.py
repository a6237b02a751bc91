"""Draws one panel of a dashboard, by its type, at its position."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deploy.grafana.render import palette
from deploy.grafana.render.panel_queries import QueryResults

_CELL = 34
_MAX_ROWS = 11
_TALL = 8
_SMALL = 7.5


def draw(axes: Axes, panel: Mapping[str, Any], answers: QueryResults) -> None:
    """Draw the results as the panel's type; a panel without any shows a note."""
    if not answers.series and not answers.rows:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "none", color=palette.QUIET, ha="center", va="center", fontsize=11)
        return
    {"stat": _figure, "timeseries": _curves, "bargauge": _bars, "table": _rows}[panel["type"]](
        axes, panel, answers
    )


def _figure(axes: Axes, panel: Mapping[str, Any], answers: QueryResults) -> None:
    axes.set_axis_off()
    found = answers.rows[0][0] if answers.rows else _last(answers.series[0].values)
    value = math.nan if found is None else float(found)
    shown = panel["fieldConfig"]["defaults"]
    words = [one["options"] for one in shown.get("mappings", ())]
    word = words[0].get(f"{value:g}") if words else None
    text = word["text"] if word else format_value(value, shown["unit"], shown.get("decimals"))
    colour = palette.NAMED[word["color"]] if word else _colour(shown, value)
    if panel["options"]["colorMode"] == "value":
        axes.text(0.5, 0.5, text, color=palette.TEXT, ha="center", va="center", fontsize=24)
        return
    axes.add_patch(_whole(axes, colour))
    axes.text(0.5, 0.5, text, color="white", ha="center", va="center", fontsize=24)


def _whole(axes: Axes, colour: str) -> Rectangle:
    return Rectangle((0, 0), 1, 1, transform=axes.transAxes, color=colour)


def _curves(axes: Axes, panel: Mapping[str, Any], answers: QueryResults) -> None:
    shown = panel["fieldConfig"]["defaults"]
    top = 0.0
    for place, one in enumerate(answers.series):
        colour = palette.CURVES[place % len(palette.CURVES)]
        at = [datetime.fromtimestamp(second, UTC) for second in one.at]
        axes.plot(at, one.values, color=colour, linewidth=1.4, label=one.name)  # type: ignore[arg-type]
        axes.fill_between(at, one.values, color=colour, alpha=0.08, linewidth=0)  # type: ignore[arg-type]
        top = max([top, *(value for value in one.values if not math.isnan(value))])
    limits = [step for step in shown["thresholds"]["steps"] if step["value"] is not None]
    for limit in limits:
        axes.axhline(limit["value"], color=palette.NAMED["red"], linewidth=1, linestyle=(0, (5, 3)))
        top = max(top, limit["value"])
    axes.set_ylim(0, shown.get("max", (top or 1) * 1.08) * 1.001)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=shown["unit"] == "short"))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: format_value(value, shown["unit"]))
    )
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=6))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]
    axes.tick_params(colors=palette.QUIET, labelsize=_SMALL, length=0)
    axes.grid(color=palette.EDGE, linewidth=0.6)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_facecolor(palette.PANEL)
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, -0.1), ncols=4, frameon=False, fontsize=_SMALL,
        labelcolor=palette.TEXT, handlelength=1.2, columnspacing=1.2, borderaxespad=0,
    )  # fmt: skip


def _bars(axes: Axes, panel: Mapping[str, Any], answers: QueryResults) -> None:
    shown = panel["fieldConfig"]["defaults"]
    values = [_last(one.values) for one in answers.series]
    most = max([*values, 1e-9])
    places = range(len(values), 0, -1)
    colours = [_colour(shown, value) for value in values]
    bars = [palette.CURVES[2] if colour == palette.TEXT else colour for colour in colours]
    axes.barh(places, [most] * len(values), color=palette.EDGE, height=0.55)
    axes.barh(places, values, color=bars, height=0.55)
    axes.set_yticks(list(places), [one.name for one in answers.series])
    axes.set_xlim(0, most * 1.22)
    for place, value in zip(places, values, strict=True):
        text = format_value(value, shown["unit"])
        axes.text(most * 1.03, place, text, color=palette.TEXT, va="center", fontsize=9)
    axes.set_xticks([])
    axes.tick_params(colors=palette.TEXT, labelsize=8, length=0)
    axes.set_facecolor(palette.PANEL)
    for side in axes.spines.values():
        side.set_visible(False)


def _rows(axes: Axes, panel: Mapping[str, Any], answers: QueryResults) -> None:
    axes.set_axis_off()
    most = _MAX_ROWS if panel["gridPos"]["h"] >= _TALL else 2
    renamed = panel["transformations"][0]["options"]["renameByName"]
    columns = [renamed.get(name, name) for name in answers.columns]
    cells = [[_cell(value) for value in row] for row in answers.rows[:most]]
    table = axes.table(
        cellText=cells, colLabels=columns, cellLoc="left", colLoc="left", loc="upper left",
        edges="horizontal",
    )  # fmt: skip
    table.auto_set_font_size(value=False)
    table.set_fontsize(8)
    table.auto_set_column_width(list(range(len(columns))))
    for (row, _), cell in table.get_celld().items():
        cell.set_text_props(color=palette.QUIET if row == 0 else palette.TEXT)
        cell.set_edgecolor(palette.EDGE)
        cell.set_height(1 / (most + 1))


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    text = "" if value is None else str(value)
    return text if len(text) <= _CELL + 2 else f"{text[:_CELL]}…"


def _last(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return known[-1] if known else math.nan


def _colour(shown: Mapping[str, Any], value: float) -> str:
    """The colour of the last step that the value has reached."""
    reached = [
        step["color"]
        for step in shown["thresholds"]["steps"]
        if step["value"] is None or value >= step["value"]
    ]
    return palette.NAMED[reached[-1]]


_SECONDS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"), (1e-6, "us"))
_THREE_DIGITS = 100
_COUNTS = ((1e9, "B"), (1e6, "M"), (1e3, "K"))
_BYTES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


def format_value(value: float, unit: str, decimals: int | None = None) -> str:
    """A figure with its unit: `1.5 min` for 90 of the unit `s`; a dash if it is not a number."""
    if math.isnan(value):
        return "-"
    if unit == "percentunit":
        return f"{_short(value * 100, decimals)}%"
    if unit.startswith("suffix:"):
        return f"{_short(value, decimals)}{unit.removeprefix('suffix:')}"
    steps = {"s": _SECONDS, "short": _COUNTS, "bytes": _BYTES}[unit]
    for size, name in steps:
        if abs(value) >= size:
            return f"{_short(value / size, decimals)} {name}"
    return _short(value, decimals) + (" s" if unit == "s" else "")


def _short(value: float, decimals: int | None) -> str:
    """Three digits at most, or the requested number of decimals."""
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.0f}" if abs(value) >= _THREE_DIGITS else f"{value:.3g}"
