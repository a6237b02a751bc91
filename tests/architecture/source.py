"""The repository's own Python, as text and as trees."""

import ast
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: The folders of Python, without the tests.
OURS = ("ringback", "benchmarks", "chaos", "deploy/prometheus")

#: Made by a program; nobody reads or shortens it.
GENERATED = ROOT / "ringback" / "metrics" / "v1"


@dataclass(frozen=True)
class Module:
    path: Path

    @property
    def name(self) -> str:
        """As it is imported: `ringback.runtime.amqp.connection`."""
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """Every module that is named in an import, at the top or within a function."""
        found: list[str] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.name} imports by a relative name"
                found += (f"{node.module}.{alias.name}" for alias in node.names)
        return tuple(found)


#: One of a path, because its tree takes a moment.
_module = cache(Module)


@cache
def modules(*folders: str) -> list[Module]:
    """What a person wrote below these folders."""
    return [
        _module(path)
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if GENERATED not in path.parents
    ]


def our_modules() -> list[Module]:
    return modules(*OURS)
