"""A file holds one idea, and a function one thought."""

import ast
from collections.abc import Iterator

from tests.architecture.source import Module, our_modules

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
FORBIDDEN_NAMES = {
    "utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "misc",
    "core", "shared", "lib", "service", "constants",
}  # fmt: skip


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function, its docstring apart: a command's is its help."""
    first = function.body[0]
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def problems_of(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    if lines > LONGEST_FILE:
        yield f"{module.name} has {lines} lines, more than {LONGEST_FILE}."
    if FORBIDDEN_NAMES & set(module.name.split(".")):
        yield f"{module.name} has a name that says nothing."
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = code_lines(node)
            if lines > LONGEST_FUNCTION:
                yield f"{module.name}.{node.name} has {lines} lines, more than {LONGEST_FUNCTION}."


def test_a_module_is_short_and_named_for_its_idea() -> None:
    """Who adds to it sees all of it; who looks for it finds it by its name."""
    assert not [problem for module in our_modules() for problem in problems_of(module)]
