"""SQL lives in files beside the code that runs it."""

from functools import cache
from importlib.resources import files


@cache
def load(package: str, name: str) -> str:
    """The statement in `sql/<name>` of a package. Raises FileNotFoundError where there is none."""
    return files(package).joinpath("sql", name).read_text(encoding="utf-8")
