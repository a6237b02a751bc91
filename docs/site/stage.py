"""Collects the pages of the documentation's site: `python -m docs.site.stage FOLDER`.

Pages are written for the repository, where a link may name any file. On the site, a link to a page
stays a link to that page; a link to any other file leads to the repository's host.
"""

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from os.path import normpath, relpath
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).parents[2]
PICTURES = "docs/pictures"
#: The first line of a page that is made of the code.
MADE = "<!-- Made by `make generate`. Do not edit. -->\n"

_FENCE = re.compile(r"^(?P<fence> *```+).*?^(?P=fence)$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<before>\]\()(?![a-z]+:)(?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")
# The README of a folder is a page if it tells how to use what is there.
_FOLDERS_WITH_A_PAGE = (
    "benchmarks",
    "chaos",
    "deploy/docker",
    "deploy/k8s",
    "protos",
    "ringback/migrations",
)


def pages(root: Path = ROOT) -> dict[str, str]:
    """Each page's path in the repository, with its path on the site."""
    documents = [path.relative_to(root) for path in (root / "docs").glob("**/*.md")]
    found = {path.as_posix(): path.relative_to("docs").as_posix() for path in documents}
    found |= {path.name: path.name for path in root.glob("*.md")}
    found |= {f"{name}/README.md": f"{name}/README.md" for name in _FOLDERS_WITH_A_PAGE}
    return found | {"README.md": "index.md"}


def on_the_site(text: str, source: str, placed: dict[str, str], host: str) -> str:
    """The text of the page `source`, with its links as the site needs them."""
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_rewritten(text[end : fence.start()], source, placed, host), fence.group()]
        end = fence.end()
    return "".join([*parts, _rewritten(text[end:], source, placed, host)])


def _rewritten(text: str, source: str, placed: dict[str, str], host: str) -> str:
    def link(match: re.Match[str]) -> str:
        target = normpath(PurePosixPath(source).parent / match["path"])
        anchor = match["anchor"] or ""
        if target in placed:
            return match["before"] + _from(placed[source], placed[target]) + anchor
        if target.startswith(PICTURES):
            return match["before"] + _from(placed[source], target.removeprefix("docs/"))
        return f"{match['before']}{host}/blob/main/{target}{anchor}"

    return _LINK.sub(link, text)


def _from(page: str, target: str) -> str:
    return relpath(target, PurePosixPath(page).parent)


def repository_host(root: Path = ROOT) -> str:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"])


def named_in(nav: Any) -> Iterator[str]:
    """The pages that a navigation of mkdocs.yml names."""
    match nav:
        case str():
            yield nav
        case list():
            for entry in nav:
                yield from named_in(entry)
        case dict():
            yield from named_in(list(nav.values()))


def stage(folder: Path) -> None:
    placed, host = pages(), repository_host()
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / PICTURES, folder / "pictures")
    (folder / "assets").mkdir()
    shutil.copy(Path(__file__).with_name("iframe-worker.js"), folder / "assets")
    for source, page in placed.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page).write_text(on_the_site(text, source, placed, host), encoding="utf-8")


if __name__ == "__main__":
    stage(Path(sys.argv[1]))
