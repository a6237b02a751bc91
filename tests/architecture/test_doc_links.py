"""Links between the documents."""

import re
from functools import cache
from pathlib import Path

from tests.architecture.source import ROOT

_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_NO_PART_OF_AN_ANCHOR = re.compile(r"[^\w\- ]")

DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/**/*.md")]
    if "node_modules" not in path.parts
)


@cache
def _anchors(document: Path) -> set[str]:
    headings = _HEADING.findall(_CODE.sub("", document.read_text(encoding="utf-8")))
    return {_NO_PART_OF_AN_ANCHOR.sub("", text.lower()).replace(" ", "-") for text in headings}


def test_links_lead_somewhere() -> None:
    """Each relative link names a file that exists, and a heading that it has."""
    dead = []

    for document in DOCUMENTS:
        for path, anchor in _LINK.findall(_CODE.sub("", document.read_text(encoding="utf-8"))):
            target = (document.parent / path).resolve() if path else document
            if not target.exists() or (anchor and anchor not in _anchors(target)):
                dead.append(f"{document.relative_to(ROOT)}: {path}#{anchor}")

    assert not dead
