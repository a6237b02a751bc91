"""A table of webhooks, a line each, and how far a search has looked."""

from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.text import Text

from ringback.cli.views.formatting import STATUS_STYLES, age, moment, plural, status_words
from ringback.cli.views.layout import print_line
from ringback.local.console import printable
from ringback.metrics.rfc3339 import time_text
from ringback.metrics.v1.delivery_pb2 import Delivery
from ringback.metrics.v1.metrics_service_pb2 import ListDeliveriesResponse

_WIDE = 100
_SHORT_ID = 18
"""The time and 12 random bits: enough to find the webhook by."""
_UUID = 36
_BESIDES = len("    dead letter  ConnectionError") + len("  ")
_MIN_TYPE = 16


def print_table(console: Console, deliveries: Iterable[Delivery], now: datetime) -> None:
    """Fits the terminal; a file or a pipe gets whole values."""
    shown = list(deliveries)
    if not shown:
        return
    job = _SHORT_ID if console.is_terminal and console.width < _WIDE else _UUID
    types = [
        printable(f"{one.event_type}, forward {one.forward}" if one.forward else one.event_type)
        for one in shown
    ]
    ages = [age(one.created_at, now) for one in shown]
    arrived = max(len("arrived"), *map(len, ages))
    width = max(len("type"), *map(len, types))
    if console.is_terminal:
        width = min(width, max(_MIN_TYPE, console.width - job - arrived - _BESIDES))
    columns = f"{'job':<{job}}  {'arrived':<{arrived}}  status       {'type':<{width}}  error"
    print_line(console, Text(columns, "dim"))
    for one, event_type, how_old in zip(shown, types, ages, strict=True):
        cut = event_type if len(event_type) <= width else f"{event_type[: width - 1]}…"
        line = Text(f"{one.job_id[:job]}  {how_old:<{arrived}}  ")
        line.append(f"{status_words(one):<11}  ", STATUS_STYLES.get(one.status, ""))
        line.append(f"{cut:<{width}}  ").append(printable(one.error_class), "dim")
        line.rstrip()
        print_line(console, line)


def print_found(
    console: Console, found: ListDeliveriesResponse, *, limit: int, end: datetime | None
) -> None:
    """How far the search has looked, and how to go on. `end`: before which it has looked."""
    count = len(found.deliveries)
    webhooks = plural(count, "webhook") if count else "No webhook"
    is_all = not found.HasField("searched_until")
    if count:
        console.print()
    if is_all:
        console.print(f"{webhooks} matched{'; these are all' if count else ''}.", soft_wrap=True)
        return
    reached = f"{moment(found.searched_until):%Y-%m-%d %H:%M:%S} UTC"
    words = f"{webhooks} matched; the search has looked back to {reached}."
    further = f"--until {time_text(found.searched_until)}"
    if count >= limit:
        # Without progress there are more webhooks in this millisecond than the limit.
        no_progress = end is not None and moment(found.searched_until) >= end
        words += f" For older ones, use {'' if no_progress else f'{further}, or '}a larger --limit."
    else:
        words += f" To look further back, use {further}."
    console.print(Text(words), soft_wrap=True)
