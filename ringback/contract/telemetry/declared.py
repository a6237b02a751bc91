from typing import TypeVar

_Declaration = TypeVar("_Declaration")


def declared(holder: type, kind: type[_Declaration]) -> dict[str, _Declaration]:
    """The declarations of `kind` in a class and its bases, by their Python names."""
    return {
        name: value
        for base in reversed(holder.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, kind)
    }
