"""Records docs/pictures/demo.svg from a real run: `python -m docs.site.record_demo`.

Start `make run` in another terminal first.
"""

# ruff: file-ignore[suspicious-subprocess-import] - the demo is a program.
import io
import os
import re
import subprocess
import sys

from rich.console import Console
from rich.text import Text

from docs.site.stage import PICTURES, ROOT

COLUMNS = 100
# What rich writes before it draws a live table again, and when it hides and shows the cursor.
_REDRAWN = re.compile(r"\r?\x1b\[2K(?:\x1b\[1A\x1b\[2K)*")
_CURSOR = re.compile(r"\x1b\[\?25[lh]")
# The picture ends before it, so that it is not too tall.
_TOO_MUCH = "The call's row"
_FONT_OF_A_CDN = re.compile(r"@font-face \{.*?\}\n", re.DOTALL)


def last_picture(printed: str) -> str:
    """The output as it stays on the screen, without its last tables."""
    stays = [part for part in _REDRAWN.split(_CURSOR.sub("", printed)) if part.strip()][-1]
    lines = stays.splitlines()
    end = next(number for number, line in enumerate(lines) if _TOO_MUCH in line)
    return "\n".join(lines[:end]).strip("\n")


def as_svg(printed: str) -> str:
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print("[bold]$ ringback demo[/bold]")
    console.print(Text.from_ansi(last_picture(printed)))
    picture = console.export_svg(title="ringback demo", unique_id="demo")
    return _FONT_OF_A_CDN.sub("", picture).replace("Fira Code", "Menlo, Consolas")


if __name__ == "__main__":
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
    shown = subprocess.run(
        [sys.executable, "-m", "ringback.cli", "demo"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (ROOT / PICTURES / "demo.svg").write_text(as_svg(shown), encoding="utf-8")
