"""Collect what is wrong with a request, field by field."""

from collections.abc import Generator
from contextlib import contextmanager

from services.metrics.api.errors import Violation, invalid
from services.metrics.api.json_value import MisfitError

#: A caller fixes a few fields at a time, and a megabyte of violations helps no one.
_MOST = 20
_LONGEST_NAME = 80


class Violations:
    """Collects violations and reports the first twenty."""

    def __init__(self) -> None:
        self._found: list[Violation] = []

    def add(self, field: str, what: str) -> None:
        """`what` is the end of a sentence that starts with the field's name."""
        if len(self._found) < _MOST:
            name = field if len(field) <= _LONGEST_NAME else f"{field[:_LONGEST_NAME]}..."
            self._found.append(Violation(name, f"`{name}` {what}."))

    @contextmanager
    def of(self, field: str) -> Generator[None, None, None]:
        """Record a MisfitError raised inside as a violation of the field."""
        try:
            yield
        except MisfitError as exc:
            self.add(field, str(exc))

    def raise_if_any(self) -> None:
        """Raises ApiError INVALID_ARGUMENT with all of them."""
        if self._found:
            raise invalid(*self._found)
