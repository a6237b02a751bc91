"""The commands that the documentation shows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docs.site.stage import pages
from tests.architecture.source import ROOT

_BLOCK = re.compile(
    r"(?:^ *<!-- (?P<mark>(?:not )?run[^>]*) -->\n)?^(?P<indent> *)```sh\n(?P<text>.*?)^ *```",
    re.MULTILINE | re.DOTALL,
)
_CODE = re.compile(
    r"`(?:\.venv/bin/)?ringback ([^`]*)`|^[ $]*(?:\.venv/bin/)?ringback (.*)$", re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """Commands in one fence: run here unless `mark` says why not, or by which test."""

    page: str
    line: int
    text: str
    mark: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in sorted(pages()):
        text = (ROOT / page).read_text(encoding="utf-8")
        for found in _BLOCK.finditer(text):
            lines = found["text"].splitlines()
            indent = len(found["indent"])
            yield Block(
                page,
                text[: found.start("indent")].count("\n") + 1,
                "\n".join(line[indent:] for line in lines) + "\n",
                found["mark"],
            )


def ringback_commands(page: Path) -> Iterator[str]:
    """What follows the word `ringback` in code of the page, on lines of their own or inline."""
    text = re.sub(r"\\\n *", " ", page.read_text(encoding="utf-8"))
    for inline, line in _CODE.findall(text):
        yield re.split(r" +#|  +| \|\|? | > ", inline or line)[0].replace("\n", " ").strip()
