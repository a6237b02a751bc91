"""Lines and tables that keep words, ids and numbers whole at 80 columns."""

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

_MIN_WIDTH = 20


def print_line(console: Console, line: Text) -> None:
    """Print a line, cut to the width of a terminal, or whole to a file or pipe."""
    if console.is_terminal:
        console.print(line, no_wrap=True, overflow="ellipsis")
    else:
        console.print(line, soft_wrap=True)


def print_indented(console: Console, line: Text, indent: int, *, after: Text | None = None) -> None:
    """Print a line; on a terminal, the words that do not fit begin below it, indented.

    It begins after `after`, or without an indent if that is empty; by default, it is indented, too.
    """
    before = Text(" " * indent) if after is None else after
    lines = [line]
    if console.is_terminal:
        lines = list(line.wrap(console, max(console.width - indent, _MIN_WIDTH)))
    for part in lines:
        part.rstrip()
        console.print(before + part, soft_wrap=True)
        before = Text(" " * indent)


def table(
    *columns: Column, title: str | Text = "", gap: int = 2, show_header: bool = True
) -> Table:
    return Table(
        *columns,
        box=None,
        padding=(0, gap, 0, 0),
        pad_edge=False,
        show_header=show_header,
        header_style="dim",
        title=title or None,
        title_justify="left",
        title_style="bold",
    )


def number(header: str = "") -> Column:
    return Column(header, justify="right", no_wrap=True)


def name(header: str = "", *, min_width: int | None = None) -> Column:
    """A column of short names: they are never wrapped."""
    return Column(header, no_wrap=True, min_width=min_width)


def label(*, min_width: int | None = None) -> Column:
    """The names of the rows of a table without a header."""
    return Column(style="dim", no_wrap=True, min_width=min_width)


def words(header: str = "", *, min_width: int | None = None) -> Column:
    """A column of texts, wrapped between words if possible."""
    return Column(header, overflow="fold", min_width=min_width)
