"""Compose files as Compose reads them: merged, and with variables filled in."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "docker"
COMPOSE = FOLDER / "compose.yaml"

#: `${NAME:-default}` is the only form in our files: each variable has a default.
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def compose(path: Path = COMPOSE, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The document, with the values in `environ` or else the defaults."""
    given = environ or {}

    def fill_in(match: re.Match[str]) -> str:
        return given.get(match[1]) or match[2]

    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        name: _each_text(part, lambda text: VARIABLE.sub(fill_in, text))
        for name, part in document.items()
    }


def variables(path: Path = COMPOSE) -> Iterator[tuple[str, str]]:
    """Each variable with its default, as often as it occurs in the file."""
    for match in VARIABLE.finditer(path.read_text(encoding="utf-8")):
        yield match[1], match[2]


def _each_text(part: Any, change: Any) -> Any:
    match part:
        case str():
            return change(part)
        case list():
            return [_each_text(one, change) for one in part]
        case dict():
            return {name: _each_text(one, change) for name, one in part.items()}
        case _:
            return part
