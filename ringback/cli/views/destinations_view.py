"""The output of `ringback destinations`."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from ringback.cli.views.formatting import plural
from ringback.cli.views.layout import name, number, print_indented, table, words
from ringback.local.console import printable
from ringback.metrics.enum_words import words_of
from ringback.metrics.v1.delivery_pb2 import BreakerState, Destination

_STYLES = {
    BreakerState.BREAKER_STATE_CLOSED: "green",
    BreakerState.BREAKER_STATE_HALF_OPEN: "yellow",
    BreakerState.BREAKER_STATE_OPEN: "red",
}


def print_destinations(console: Console, destinations: Iterable[Destination]) -> None:
    """Print a row for each, then their last errors, and who keeps which in a state."""
    columns = (words("destination"), name("state"), name("not closed"), number("in flight"))
    rows = table(*columns, number("waiting"))
    notes = []
    for one in destinations:
        rows.add_row(
            Text(one.name),
            _state(one),
            f"{one.processors_not_closed} of {one.processors}",
            str(one.in_flight),
            f"{one.waiting:,}",
        )
        if one.last_error:
            notes.append(Text(f"{one.name}: the last error is {printable(one.last_error)}."))
        if word := _word(one.forced_state):
            kept = f"{one.name} is kept {word} by {one.changed_by}: {one.reason}"
            notes.append(Text(printable(kept), "yellow"))
    console.print(rows)
    if notes:
        console.print()
    for note in notes:
        print_indented(console, note, 4, after=Text())


def destination_lines(one: Destination) -> Text:
    """What a person's decision means."""
    word = _word(one.forced_state)
    kept = f"is kept {word}" if word else "follows its breakers again"
    line = Text(f"{one.name} {kept} in {plural(one.processors, 'processor')}, within seconds. ")
    return line.append(f"Waiting for it: {plural(one.waiting, 'webhook')}.", "dim")


def _state(one: Destination) -> Text:
    return Text(_word(one.state) or "not reported", _STYLES.get(one.state, "dim"))


def _word(state: BreakerState.ValueType) -> str:
    return words_of(BreakerState.DESCRIPTOR).get(state, "").replace("_", "-")
