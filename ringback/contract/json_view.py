"""A JSON object with typed attributes for the fields that are known, which refuses nothing."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, Self, TypeVar, overload

from ringback.contract.event import value_at
from ringback.contract.loose_values import time_of

T = TypeVar("T")


class View(Mapping[str, Any]):
    """An object in a message, as it arrived, with typed attributes for documented fields."""

    __slots__ = ("raw",)

    def __init__(self, raw: object) -> None:
        self.raw: Mapping[str, Any] = dict(raw) if isinstance(raw, Mapping) else {}

    def __getitem__(self, name: str) -> Any:
        return self.raw[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        # The values may contain secrets and people's data, so no log shows them by accident.
        return f"{type(self).__name__}({', '.join(self.raw)})"


class Field(Generic[T]):
    """A field of a view, at the first of some paths where `read` finds a value."""

    def __init__(self, read: Callable[[Any], T], *paths: str) -> None:
        self._read = read
        self.paths = paths

    @overload
    def __get__(self, view: None, owner: type) -> Self: ...
    @overload
    def __get__(self, view: View, owner: type) -> T: ...
    def __get__(self, view: View | None, owner: type) -> Self | T:
        if view is None:
            return self
        for path in self.paths:
            value = self._read(value_at(view.raw, path))
            if value is not None and value != []:
                return value
        return self._read(None)


def as_text(*paths: str) -> Field[str | None]:
    return Field(lambda value: value if isinstance(value, str) else None, *paths)


def as_number(*paths: str) -> Field[float | None]:
    def read(value: Any) -> float | None:
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    return Field(read, *paths)


def as_flag(*paths: str) -> Field[bool | None]:
    return Field(lambda value: value if isinstance(value, bool) else None, *paths)


def as_time(*paths: str) -> Field[datetime | None]:
    return Field(lambda value: time_of(value, datetime.now(UTC)), *paths)


def as_objects(*paths: str) -> Field[list[View]]:
    return as_views(View, *paths)


V = TypeVar("V", bound=View)


def as_view(kind: type[V], path: str) -> Field[V]:
    return Field(kind, path)


def as_views(kind: type[V], *paths: str) -> Field[list[V]]:
    def read(value: Any) -> list[V]:
        items = value if isinstance(value, list) else []
        return [kind(item) for item in items if isinstance(item, Mapping)]

    return Field(read, *paths)
