"""The speed of the metrics API as a table for people."""

from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from benchmarks.api_speed import Measure


def show(measures: "list[Measure]", title: str, console: Console) -> None:
    table = Table(title=title)
    for heading in ("call", "caller", "errors", "p50 ms", "p99 ms", "max ms", "below"):
        justify: Literal["left", "right"] = "left" if heading in {"call", "caller"} else "right"
        table.add_column(heading, justify=justify, no_wrap=True)
    for one in measures:
        table.add_row(
            one.call,
            one.caller,
            str(one.errors),
            f"{one.p50_ms:.1f}",
            f"{one.p99_ms:.1f}",
            f"{one.max_ms:.1f}",
            f"{one.limit_ms:.0f}" if one.holds else f"[red]{one.limit_ms:.0f} missed[/]",
        )
    console.print(table, width=max(console.width, 100), soft_wrap=True)
