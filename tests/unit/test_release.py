"""What `make release` finds missing."""

import pytest

import ringback
from deploy.release import changelog_problems, version_problems, versioned_texts
from tests.architecture.source import ROOT

COMPLETE = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-11-29\n\nIt is faster.\n"


@pytest.mark.parametrize(
    ("was", "instead", "sentence"),
    [
        ("", "", None),
        ("## [Unreleased]\n", "## [Unreleased]\n\n- A later change.\n", "Move them to [1.2.0]"),
        ("[1.2.0]", "[1.1.0]", "no section [1.2.0]"),
        (" - 2026-11-29", "", "has no date"),
        ("2026-11-29", "soon", "has no date"),
        ("It is faster.", "", "is empty"),
    ],
)
def test_the_changelog(was: str, instead: str, sentence: str | None) -> None:
    found = list(changelog_problems(COMPLETE.replace(was, instead, 1), "1.2.0"))

    assert len(found) == (sentence is not None)
    assert all(str(sentence) in one for one in found)


@pytest.mark.parametrize(
    "line",
    ["image: ringback-gateway:1.1.0", "newTag: 1.1.0", 'newTag: "1.1.0"', "VERSION: 1.1.0"],
)
def test_another_version_is_named_with_its_file(line: str) -> None:
    text = f"{line}\nimage: ringback:1.2.0\nimage: postgres:18.6.0\n"

    assert list(version_problems({"a.yaml": text}, "1.2.0")) == [
        "a.yaml names 1.1.0, but ringback/__init__.py says 1.2.0."
    ]


def test_this_version_is_the_same_everywhere() -> None:
    """And the changelog has a section with its date."""
    version = ringback.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert list(version_problems(versioned_texts(), version)) == []
    assert [one for one in changelog_problems(changelog, version) if "section" in one] == []
