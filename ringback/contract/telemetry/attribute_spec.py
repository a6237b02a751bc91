from typing import Self


class AttributeSpec(str):  # ruff: ignore[subclass-builtin]  # OpenTelemetry takes a text as it is
    """The name of a span attribute; as a text it is the name in the span."""

    __slots__ = ("means",)
    means: str

    def __new__(cls, name: str, means: str) -> Self:
        self = super().__new__(cls, name)
        self.means = means
        return self
