"""The speed of the metrics API as a table for people."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from benchmarks.api_speed import Measure


def show(measures: "list[Measure]", title: str, console: Console) -> None:
    table = Table(title=title)
    for heading in ("call", "caller", "calls", "errors", "p50 ms", "p99 ms", "max ms", "p99 below"):
        table.add_column(heading, justify="left" if heading in {"call", "caller"} else "right")
    for one in measures:
        table.add_row(
            one.call,
            one.caller,
            f"{one.calls:,}",
            str(one.errors),
            f"{one.p50_ms:.1f}",
            f"{one.p99_ms:.1f}",
            f"{one.max_ms:.1f}",
            f"{one.limit_ms:.0f}" if one.holds else f"[red]{one.limit_ms:.0f}: missed[/]",
        )
    console.print(table, soft_wrap=True)
