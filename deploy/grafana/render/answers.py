"""The results of a panel's queries: series over time, or the rows of a table."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Series:
    """`at` in seconds since 1970."""

    name: str
    at: list[float]
    values: list[float]


@dataclass(frozen=True, slots=True)
class Answers:
    series: list[Series] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
