"""The site of the documentation: what `make docs` makes of the repository's pages."""

import pytest
import yaml

from docs.site.reference import reference_pages
from docs.site.stage import named_in, on_the_site, pages
from tests.architecture.source import ROOT

LISTED_BY_THEIR_README = ("adr/", "runbooks/")
PLACED = {
    "README.md": "index.md",
    "SECURITY.md": "SECURITY.md",
    "docs/glossary.md": "glossary.md",
    "docs/how-to/upgrade.md": "how-to/upgrade.md",
}


NAV = set(named_in(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))


def test_every_page_is_in_the_navigation() -> None:
    """Or in the README of its folder, if there are many."""
    for page in sorted(set(pages().values()) - NAV):
        folder, _, name = page.rpartition("/")
        listed = page.startswith(LISTED_BY_THEIR_README) and f"]({name}" in (
            ROOT / "docs" / folder / "README.md"
        ).read_text(encoding="utf-8")
        assert listed, f"Readers of the site cannot find {page}: add it to `nav` in mkdocs.yml."


def test_the_navigation_names_only_pages() -> None:
    missing = NAV - set(pages().values())

    assert not missing, f"`nav` in mkdocs.yml names pages that do not exist: {missing}"


def test_the_reference_is_what_the_code_says() -> None:
    for name, page in reference_pages().items():
        same = (ROOT / "docs" / name).read_text(encoding="utf-8") == page
        assert same, f"docs/{name} is old: run `make generate`."


@pytest.mark.parametrize(
    ("source", "link", "on_site"),
    [
        ("README.md", "[a](docs/glossary.md)", "[a](glossary.md)"),
        ("SECURITY.md", "[a](README.md#two-commands)", "[a](index.md#two-commands)"),
        ("docs/how-to/upgrade.md", "[a](../glossary.md#x)", "[a](../glossary.md#x)"),
        ("docs/how-to/upgrade.md", "[a](../../SECURITY.md)", "[a](../SECURITY.md)"),
        ("docs/glossary.md", "[a](../chaos/run.py)", "[a](https://host/blob/main/chaos/run.py)"),
        ("README.md", "![a](docs/pictures/a.png)", "![a](pictures/a.png)"),
        ("README.md", "[a](#below) [b](https://b.example)", "[a](#below) [b](https://b.example)"),
        ("README.md", "```\n`[a](docs/b.md)`\n```", "```\n`[a](docs/b.md)`\n```"),
    ],
)
def test_links_lead_to_pages_or_to_the_repository(source: str, link: str, on_site: str) -> None:
    assert on_the_site(link, source, PLACED, "https://host") == on_site
