"""`ringback handlers`: check the modules of handlers as the processor does at its start."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
from cyclopts import App
from rich.table import Table
from rich.text import Text

from ringback.cli.options import Flag
from ringback.cli.terminal import EXIT_FAILED, BadInputError, JsonFlag, complain, out, write_json
from ringback.cli.views.formatting import plural
from ringback.cli.views.layout import table, words
from ringback.handlers import answered_types, name_of
from ringback.local.console import printable
from ringback.services.processor.attempt.handlers import (
    HandlersError,
    LoadedHandlers,
    declaration_of,
    load_handlers,
)

_VARIABLE = "RINGBACK_HANDLERS"

_EXAMPLES = """Examples:

    ringback handlers check
    ringback handlers check shop.hooks shop.reports --strict
"""

handlers = App(
    name="handlers",
    help="Check the modules of your handlers (docs/how-to/write-a-handler.md).",
    help_epilogue=_EXAMPLES,
)


@handlers.command
def check(
    *modules: str,
    strict: Flag = False,
    json: JsonFlag = False,
) -> int:
    """List the handlers, hooks and functions with @answers of modules, and every mistake in them.

    The modules are imported, from the current folder too. The exit status is 1 if a processor would
    refuse to start with them.

    Parameters
    ----------
    modules
        The modules (default: RINGBACK_HANDLERS).
    strict
        Also exit with 1 for an event type that Vapi does not document.
    json
        Print a JSON document.
    """
    named = ",".join(modules) or os.environ.get(_VARIABLE, "").strip()
    if not named:
        raise BadInputError(f"Name a module, or set {_VARIABLE}.")
    _import_from_here()
    try:
        loaded = load_handlers(named)
    except HandlersError as exc:
        if json:
            write_json(orjson.dumps({"functions": [], "mistakes": exc.problems, "notes": []}))
            return EXIT_FAILED
        _print(exc.problems)
        complain(f"A processor would not start: correct {plural(len(exc.problems), 'mistake')}.")
        return EXIT_FAILED
    unknown = loaded.unknown_types()
    notes = [*loaded.overlaps(), *unknown]
    if json:
        document = {"functions": list(_functions(loaded)), "mistakes": [], "notes": notes}
        write_json(orjson.dumps(document))
    else:
        out().print(_table(loaded))
        _print(notes)
    return EXIT_FAILED if strict and unknown else 0


def _import_from_here() -> None:
    """Find modules where `python -m ringback.services.processor` finds them."""
    here = str(Path.cwd())
    if not sys.flags.safe_path and here not in sys.path:
        sys.path.insert(0, here)


def _print(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        out().print(Text(printable(sentence)), soft_wrap=True)


def _table(loaded: LoadedHandlers) -> Table:
    rows = table(words("function"), words("runs"), words("event types"))
    for one in _functions(loaded):
        types = ", ".join(one["eventTypes"]) or "-"
        rows.add_row(*(Text(printable(cell)) for cell in (one["function"], one["runs"], types)))
    return rows


def _functions(loaded: LoadedHandlers) -> Iterator[dict[str, Any]]:
    for handler in loaded.handlers:
        declaration = declaration_of(handler)
        runs = "in the transaction" if declaration.transaction else "for each event"
        if declaration.ordered_by is not None:
            runs += ", in the order of its call"
        yield _function(handler, runs, declaration.types)
    for runs, hooks in (("at the start", loaded.on_start), ("at the stop", loaded.on_stop)):
        for hook in hooks:
            yield _function(hook, runs, ())
    for function in loaded.answers:
        yield _function(function, "in the gateway", answered_types(function))


def _function(function: Callable[..., object], runs: str, types: Iterable[str]) -> dict[str, Any]:
    return {"function": name_of(function), "runs": runs, "eventTypes": list(types)}
