"""Tests for ringback.contract.telemetry.as_markdown."""

from pathlib import Path

from ringback.contract.telemetry import all_log_events, all_metrics
from ringback.contract.telemetry.as_markdown import as_markdown
from ringback.contract.telemetry.spans import all_attributes, all_spans

PAGE = Path(__file__).parents[3] / "docs" / "telemetry.md"


def test_the_page_is_that_of_the_declarations() -> None:
    """After changing a declaration, run `make generate`."""
    assert PAGE.read_text() == as_markdown(), "docs/telemetry.md is stale: run `make generate`"


def test_the_page_holds_everything() -> None:
    """No declaration is left out."""
    page = as_markdown()

    names = [one.name for one in all_metrics()] + [one.name for one in all_spans()]
    for name in (*names, *all_log_events(), *all_attributes()):
        assert f"`{name}`" in page
