"""The console of all commands: it shows external values as text, in any terminal encoding.

Rich reads markup in strings, terminals obey control characters, and an encoding may not have every
character.
"""

import codecs
import io
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_INSTEAD = {
    "✓": "+", "✗": "x", "…": "~", "⋮": ":", "│": "|", "├": "|", "└": "`", "─": "-", "█": "#",
    "━": "-", "╸": "-", "╺": "-",
}  # fmt: skip
_HANDLER = "ringback.console"


class TextConsole(Console):
    """Ignores markup, and replaces control characters and changes of text direction in values."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                lines = map(printable, segment.text.split("\n"))
                yield Segment("\n".join(lines), segment.style)


def printable(text: str) -> str:
    """An external text on one line, without control characters."""
    return "".join(char if char.isprintable() else " " for char in text)


def never_fail_to_encode() -> None:
    """Make stdout and stderr replace characters that are not in their encoding."""
    codecs.register_error(_HANDLER, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_INSTEAD.get(char, "?") for char in lacking), error.end
