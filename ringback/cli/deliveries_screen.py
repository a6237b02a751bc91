"""A list of webhooks with two lines each, so that job ids can be copied and errors read."""

from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.text import Text

from ringback.cli.words import STATUS_STYLES, age, error_words, status_words
from ringback.local.console import printable
from ringback.metrics.v1.delivery_pb2 import Delivery

_TYPE_WIDTH = 20


def print_deliveries(console: Console, deliveries: Iterable[Delivery], now: datetime) -> None:
    for delivery in deliveries:
        print_line(console, _head(delivery, now))
        if delivery.error_class or delivery.error_message:
            words = error_words(delivery.error_class, delivery.error_message)
            print_line(console, Text(f"    {words}", "dim"))


def print_line(console: Console, line: Text) -> None:
    """Cut to the terminal's width; complete in a file or a pipe."""
    if console.is_terminal:
        console.print(line, no_wrap=True, overflow="ellipsis")
    else:
        console.print(line, soft_wrap=True)


def _head(delivery: Delivery, now: datetime) -> Text:
    line = Text(f"{delivery.job_id}  ")
    line.append(f"{printable(delivery.event_type):<{_TYPE_WIDTH}}  ", "bold")
    attempts = f"{status_words(delivery)} {delivery.attempts}/{delivery.max_attempts}"
    line.append(attempts, STATUS_STYLES.get(delivery.status, ""))
    return line.append(f"  {age(delivery.created_at, now)}", "dim")
