"""A file holds one idea, and a function one thought."""

import ast

import pytest

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


@pytest.mark.parametrize("module", our_modules(), ids=lambda module: module.name)
def test_a_module_is_short_and_named_for_its_idea(module: Module) -> None:
    """Who adds to it sees all of it; who looks for it finds it by its name."""
    functions = [
        node
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert len(module.text.splitlines()) <= LONGEST_FILE
    for function in functions:
        assert code_lines(function) <= LONGEST_FUNCTION, f"{function.name}, {function.lineno}"
    assert not FORBIDDEN_NAMES & set(module.name.split("."))
