"""The site of the documentation, as `make docs` builds it."""

# ruff: file-ignore[suspicious-subprocess-import] - the builder is a program.
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs.site.stage import pages, stage
from tests.architecture.source import ROOT


@pytest.mark.slow
def test_the_site_asks_no_other_host(tmp_path: Path) -> None:
    """It builds without a warning about a link, and its pages load nothing from elsewhere."""
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    stage(tmp_path / ".pages")

    built = subprocess.run(
        [Path(sys.prefix) / "docs/bin/zensical", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert built.returncode == 0, built.stdout + built.stderr
    site = tmp_path / "site"
    found = list(site.glob("**/*.html"))
    assert {page_of(name) for name in pages().values()} <= {
        page.relative_to(site).as_posix() for page in found
    }
    for page in found:
        assert loaded_from_elsewhere(page.read_text(encoding="utf-8")) == []
    for style in site.glob("**/*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style


def page_of(name: str) -> str:
    return name.replace("README.md", "index.md").removesuffix(".md") + ".html"


def loaded_from_elsewhere(page: str) -> list[str]:
    """The addresses of other hosts that a browser asks when it shows the page."""
    found: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag in {"a", "meta"} or ("rel", "canonical") in attrs:
                return
            found.extend(
                value
                for name, value in attrs
                if name in {"src", "href", "data-src"} and value and re.match(r"(\w+:)?//", value)
            )

    Parser().feed(page)
    return found
