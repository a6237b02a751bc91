"""SQL lives in files beside the code that runs it."""

from functools import cache
from importlib.resources import files
from pathlib import PurePath

_NAMES: dict[str, str] = {}


@cache
def load(package: str, name: str) -> str:
    """Load the statement in `sql/<name>` of a package.

    Raises FileNotFoundError if there is no file.
    """
    statement = files(package).joinpath("sql", name).read_text(encoding="utf-8")
    _NAMES[statement] = PurePath(name).stem
    return statement


def name_of(statement: str) -> str:
    """The name of the file that `load` read it from, as in `delivery`; else empty."""
    return _NAMES.get(statement, "")
