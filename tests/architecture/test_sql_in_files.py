"""SQL is in .sql files, where editors and people can read it."""

import ast
import re

from tests.architecture.source import ROOT, modules

_STATEMENT = re.compile(
    r"^\s*(SELECT\s.+|INSERT\s+INTO\s|UPDATE\s+\w+\s+(AS\s+\w+\s+)?SET\s+\w+\s*=|DELETE\s+FROM\s|WITH\s.+\sAS\s*\(|"
    r"(CREATE|ALTER|DROP|TRUNCATE)\s+(TABLE|INDEX|DATABASE|ROLE|FUNCTION|VIEW|SCHEMA)\s|"
    r"CALL\s+\w+\(|COPY\s+\w+\s|(UN)?LISTEN\s|NOTIFY\s|SET\s+(LOCAL|ROLE|SESSION)\s|"
    r"LOCK\s+TABLE\s|BEGIN;?$|COMMIT;?$|ROLLBACK;?$)",
    re.IGNORECASE | re.DOTALL,
)

#: Statements that consist only of a name, for which a file would be less clear.
ALLOWED = {"SELECT true"}


def texts(tree: ast.Module) -> list[str]:
    """Every text in the code that is no docstring, with the parts of an f-string put together."""
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "x" for p in node.values)
            found.append("".join(str(part) for part in parts))
        elif isinstance(node, ast.Constant) and id(node) not in docstrings:
            found.append(str(node.value) if isinstance(node.value, str) else "")
    return found


FOLDERS = ("ringback", "chaos")
OF_THE_PROGRAMS = modules(*FOLDERS)


def test_no_statement_stands_in_python() -> None:
    """Python loads a statement by its name."""
    assert not [
        f"{module.name}: {text}"
        for module in OF_THE_PROGRAMS
        for text in texts(module.tree)
        if _STATEMENT.match(text) and text not in ALLOWED
    ]


def test_each_statement_says_what_it_is_for() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.sql")]

    assert files
    for path in files:
        assert path.read_text(encoding="utf-8").startswith("-- "), path


def test_each_statement_is_used() -> None:
    code = "\n".join(module.text for module in OF_THE_PROGRAMS)
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("sql/*.sql")]

    unused = [path.name for path in files if path.name not in code and path.stem not in code]

    assert not unused
