"""Imports modules that a setting names."""

import importlib
from types import ModuleType


def import_modules(names: str, *, setting: str) -> tuple[list[ModuleType], list[str]]:
    """Import modules, comma separated. Also returns a problem for each that cannot be imported."""
    modules: list[ModuleType] = []
    problems: list[str] = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        try:
            modules.append(importlib.import_module(name))
        except (Exception, SystemExit) as exc:  # ruff: ignore[blind-except]  # a module may raise anything
            problems.append(
                f"{setting} names {name}, which cannot be imported: {type(exc).__name__}: {exc}"
            )
    return modules, problems
