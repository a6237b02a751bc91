"""Draws the dashboards as pictures: `python -m deploy.grafana.render --help`."""

import argparse
import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
from matplotlib.figure import Figure

from deploy.grafana.generate import FOLDER
from deploy.grafana.query import SQL
from deploy.grafana.render import palette
from deploy.grafana.render.drawing import draw
from deploy.grafana.render.panel_queries import PanelQueries

_WIDTH_INCHES = 15.0
_ROW_INCHES = 0.36
_COLUMNS = 24


async def render(asking: PanelQueries, board: Mapping[str, Any], to: Path) -> None:
    """Draw one dashboard as a PNG, with its panels at their grid positions."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"]) + 1.5
    page = Figure(figsize=(_WIDTH_INCHES, rows * _ROW_INCHES), facecolor=palette.PAGE)
    page.text(0.01, 1 - 0.75 / rows, board["title"], color=palette.TEXT, fontsize=15, va="center")
    for panel in board["panels"]:
        at = panel["gridPos"]
        left, width = at["x"] / _COLUMNS, at["w"] / _COLUMNS
        top, height = 1 - (at["y"] + 1.5) / rows, at["h"] / rows
        if panel["type"] == "row":
            page.text(left + 0.01, top - height / 2, panel["title"], color=palette.TEXT,
                      fontsize=11, va="center", weight="bold")  # fmt: skip
            continue
        frame = page.add_axes((left + 0.003, top - height + 0.1 / rows, width - 0.006,
                               height - 0.2 / rows), facecolor=palette.PANEL)  # fmt: skip
        frame.set(xticks=[], yticks=[])
        for side in frame.spines.values():
            side.set_color(palette.EDGE)
        page.text(left + 0.009, top - 0.6 / rows, panel["title"], color=palette.TEXT,
                  fontsize=9.5, va="center", weight="bold")  # fmt: skip
        margins = {"timeseries": (0.045, 1.7), "bargauge": (0.13, 0.4)}.get(
            panel["type"], (0.012, 0.35)
        )
        beside, below = margins
        axes = page.add_axes((left + beside, top - height + below / rows,
                              width - beside - 0.012, height - (below + 1.2) / rows))  # fmt: skip
        draw(axes, panel, await asking.panel(panel))
    page.savefig(to, dpi=96)


async def _busiest(database: asyncpg.Connection) -> str:
    text = (SQL / "organisations.sql").read_text(encoding="utf-8")
    return str(await database.fetchval(text))


async def main() -> None:
    asked = argparse.ArgumentParser(description="Draw the dashboards as PNG files.")
    asked.add_argument("--prometheus", default="http://127.0.0.1:7090")
    asked.add_argument("--database", required=True, help="a URL; only reading is done there")
    asked.add_argument("--minutes", type=float, default=10, help="how far to look back")
    asked.add_argument("--into", type=Path, default=Path("docs/pictures"))
    chosen = asked.parse_args()
    chosen.into.mkdir(parents=True, exist_ok=True)
    database = await asyncpg.connect(chosen.database)
    try:
        until = time.time()
        asking = PanelQueries(
            prometheus=chosen.prometheus,
            database=database,
            org=await _busiest(database),
            since=until - 60 * chosen.minutes,
            until=until,
        )
        for path in sorted(FOLDER.glob("*.json")):
            picture = chosen.into / f"{path.stem}.png"
            await render(asking, json.loads(path.read_text(encoding="utf-8")), picture)
            print(picture)
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(main())
