"""The output of `ringback changes`."""

from collections.abc import Iterable

import orjson
from rich.console import Console
from rich.text import Text

from ringback.cli.views.formatting import moment
from ringback.cli.views.layout import print_line
from ringback.local.console import printable
from ringback.metrics.enum_words import words_of
from ringback.metrics.v1.delivery_pb2 import Change, ChangeAction


def print_changes(console: Console, changes: Iterable[Change]) -> None:
    """For each: when and what, who and why, and what came of it."""
    for change in changes:
        line = Text(f"{moment(change.changed_at):%Y-%m-%d %H:%M:%S}  ")
        action = words_of(ChangeAction.DESCRIPTOR).get(change.action, "unknown")
        line.append(f"{action.replace('_', ' ')}  ", "bold").append(_object(change))
        print_line(console, line)
        why = f": {change.reason}" if change.reason else ""
        print_line(console, Text(f"    by {printable(f'{change.actor}{why}')}", "dim"))
        if change.new_job_id:
            print_line(console, Text(f"    as {printable(change.new_job_id)}", "dim"))


def _object(change: Change) -> str:
    """The webhook, the destination with its state, or the bulk retry."""
    text = change.job_id or change.destination or change.run_id
    if change.destination and not change.job_id:
        text += f" {_forced_state(change)}"
    return printable(text)


def _forced_state(change: Change) -> str:
    try:
        state = orjson.loads(change.details).get("forced_state")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    return "automatic" if state is None else str(state).replace("_", "-")
