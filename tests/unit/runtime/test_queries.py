"""Tests for ringback.runtime.postgres.queries."""

import pytest

from ringback.runtime.postgres.queries import load


def test_a_statement_is_read_from_beside_its_code() -> None:
    """By the package and the name of the file."""
    assert "schema_migrations" in load("ringback.runtime.postgres", "record_migration.sql")


def test_a_missing_statement_is_named() -> None:
    """A typo shows in the first test that uses the statement."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.sql"):
        load("ringback.runtime.postgres", "nothing.sql")
