"""Draws one panel of a dashboard, by its type, at its position."""

import math
import re
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
_LETTERS_PER_COLUMN = 10
_LETTERS_PER_MARK = 7
_LEGEND_ROWS = 2


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
    word = _value_texts(shown).get(f"{value:g}")
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
    texts = _value_texts(shown)
    bottom = top = 0.0
    for place, one in enumerate(answers.series):
        colour = _fixed_colour(panel, one.name) or palette.CURVES[place % len(palette.CURVES)]
        at = [datetime.fromtimestamp(second, UTC) for second in one.at]
        axes.plot(at, one.values, color=colour, linewidth=1.4, label=one.name)  # type: ignore[arg-type]
        axes.fill_between(at, one.values, color=colour, alpha=0.08, linewidth=0)  # type: ignore[arg-type]
        known = [value for value in one.values if not math.isnan(value)]
        bottom, top = min([bottom, *known]), max([top, *known])
    limits = [step for step in shown["thresholds"]["steps"] if step["value"] is not None]
    for limit in limits:
        axes.axhline(limit["value"], color=palette.NAMED["red"], linewidth=1, linestyle=(0, (5, 3)))
        top = max(top, limit["value"])
    axes.set_ylim(bottom * 1.08, shown.get("max", (top or 1) * 1.08) * 1.001)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=shown["unit"] == "short"))
    axes.yaxis.set_major_formatter(
        FuncFormatter(
            lambda value, _: (
                texts[f"{value:g}"]["text"]
                if f"{value:g}" in texts
                else format_value(value, shown["unit"])
            )
        )
    )
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=6))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]
    axes.tick_params(colors=palette.QUIET, labelsize=_SMALL, length=0)
    axes.grid(color=palette.EDGE, linewidth=0.6)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_facecolor(palette.PANEL)
    _legend(axes, panel, answers)


def _legend(axes: Axes, panel: Mapping[str, Any], answers: QueryResults) -> None:
    """Two rows of names; if there are more, of the series with the highest values."""
    longest = max(len(one.name) for one in answers.series)
    letters = panel["gridPos"]["w"] * _LETTERS_PER_COLUMN
    columns = max(1, min(4, letters // (longest + _LETTERS_PER_MARK)))
    peaks = [max((v for v in one.values if not math.isnan(v)), default=0) for one in answers.series]
    places = sorted(range(len(peaks)), key=lambda place: -peaks[place])[: columns * _LEGEND_ROWS]
    handles, names = axes.get_legend_handles_labels()
    axes.legend(
        [handles[place] for place in sorted(places)], [names[place] for place in sorted(places)],
        loc="upper left", bbox_to_anchor=(0, -0.1), frameon=False, fontsize=_SMALL, ncols=columns,
        labelcolor=palette.TEXT, handlelength=1.2, columnspacing=1.2, borderaxespad=0,
    )  # fmt: skip


def _bars(axes: Axes, panel: Mapping[str, Any], answers: QueryResults) -> None:
    shown = panel["fieldConfig"]["defaults"]
    values = [_last(one.values) for one in answers.series]
    most = shown.get("max", max([*values, 1e-9]))
    places = range(len(values), 0, -1)
    texts = _value_texts(shown)
    named = [texts.get(f"{value:g}") for value in values]
    colours = [
        palette.NAMED[text["color"]]
        if text
        else _fixed_colour(panel, one.name) or _colour(shown, value)
        for text, one, value in zip(named, answers.series, values, strict=True)
    ]
    bars = [palette.CURVES[2] if colour == palette.TEXT else colour for colour in colours]
    axes.barh(places, [most] * len(values), color=palette.EDGE, height=0.55)
    axes.barh(places, values, color=bars, height=0.55)
    axes.set_yticks(list(places), [one.name for one in answers.series])
    axes.set_xlim(0, most * 1.22)
    for place, value, word in zip(places, values, named, strict=True):
        text = word["text"] if word else format_value(value, shown["unit"])
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


def _value_texts(shown: Mapping[str, Any]) -> Mapping[str, Any]:
    """The text and the colour that replace a value, by the value."""
    return next((one["options"] for one in shown.get("mappings", ())), {})


def _fixed_colour(panel: Mapping[str, Any], name: str) -> str | None:
    for override in panel["fieldConfig"].get("overrides", ()):
        if re.fullmatch(override["matcher"]["options"].strip("/"), name):
            return palette.NAMED[override["properties"][0]["value"]["fixedColor"]]
    return None


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
