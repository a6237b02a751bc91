"""Tests for deploy.docker.proof.context: what a builder gets of the checkout."""

from pathlib import Path, PurePosixPath

import pytest

from deploy.docker.proof.context import copy_context, is_sent, patterns
from deploy.docker.proof.steps import CHECKOUT

OURS = patterns((CHECKOUT / ".dockerignore").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("ringback/runtime/sql/record_migration.sql", True),
        ("services/gateway/__main__.py", True),
        ("migrations/0001_delivery_log.sql", True),
        ("requirements/run.txt", True),
        ("pyproject.toml", True),
        ("requirements/dev.txt", False),
        ("ringback/__pycache__/__init__.cpython-313.pyc", False),
        ("tests/conftest.py", False),
        (".git/config", False),
        (".ringback/jwt-secret", False),
        ("deploy/docker/.env", False),
        (".env", False),
    ],
)
def test_only_what_the_images_need_is_sent(path: str, sent: bool) -> None:  # ruff: ignore[boolean-type-hint-positional-argument]
    """No secret of this machine, and nothing whose change would build everything again."""
    assert is_sent(PurePosixPath(path), OURS) is sent


@pytest.mark.parametrize(
    ("rules", "path", "sent"),
    [
        (["*.md", "!README.md"], "README.md", True),
        (["*.md", "!README.md"], "docs.md", False),
        (["*.md"], "docs/how.md", True),
        (["**/*.md"], "docs/how.md", False),
        (["docs"], "docs/deep/how.md", False),
        (["!docs", "docs"], "docs/how.md", False),
        (["a?c"], "abc", False),
        (["a?c"], "a/c", True),
    ],
)
def test_patterns_are_those_of_docker(rules: list[str], path: str, sent: bool) -> None:  # ruff: ignore[boolean-type-hint-positional-argument]
    """The last that fits decides; a folder takes along what is in it; a star stays in one."""
    assert is_sent(PurePosixPath(path), rules) is sent


def test_what_is_left_out_cannot_be_copied(tmp_path: Path) -> None:
    """A builder would say that it is not there; so does the proof."""
    with pytest.raises(FileNotFoundError):
        copy_context(CHECKOUT, "docs", tmp_path, OURS)
