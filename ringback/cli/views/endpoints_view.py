"""The output of `ringback endpoints status`."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.console import Console
from rich.text import Text

from ringback.cli.views.formatting import age, moment, plural
from ringback.cli.views.layout import print_line
from ringback.local.console import printable
from ringback.metrics.v1.endpoint_pb2 import Endpoint, Gateway, Refusal


def print_endpoints(console: Console, endpoints: Iterable[Endpoint], now: datetime) -> None:
    for one in endpoints:
        state = ("enabled", "green") if one.is_enabled else ("disabled", "yellow")
        line = Text(f"{printable(one.id)}  ", "bold").append(*state)
        print_line(console, line.append(f"  org {printable(one.org_id)}", "dim"))
        for words in _facts(one):
            print_line(console, Text(f"    {printable(words)}"))
        _print_refusals(console, one.refusals, now)


def print_gateways(
    console: Console, gateways: Iterable[Gateway], unknown: Iterable[Refusal], now: datetime
) -> None:
    """The refusals of paths without an endpoint, and the state of each gateway's file."""
    if unknown:
        print_line(console, Text("no endpoint", "bold"))
        _print_refusals(console, unknown, now)
    for one in gateways:
        line = Text(f"gateway {printable(one.host)}  ", "bold")
        line.append(f"{plural(one.endpoint_count, 'endpoint')}, ", "default")
        line.append(f"started {age(one.started_at, now)}", "dim")
        print_line(console, line)
        for problem in one.file_problems:
            print_line(console, Text(f"    file not usable: {printable(problem)}", "red"))


def _facts(one: Endpoint) -> Iterator[str]:
    kinds = "the built-in secret" if one.is_built_in else ", ".join(one.credential_kinds)
    yield f"senders: {kinds or 'anyone'}; types: {', '.join(one.event_types)}"
    if one.questions:
        yield f"questions: {', '.join(one.questions)}"
    for forward in one.forwards:
        yield f"forward: {forward.name} to {forward.host} ({', '.join(forward.event_types)})"
    if one.is_cut:
        yield "and more: only the first 20 of each are shown"
    since = moment(one.gateways[0].since) if one.gateways else None
    since_words = f", since {since:%Y-%m-%d %H:%M:%S}" if since else ""
    yield f"{plural(len(one.gateways), 'gateway')}{since_words}"
    different = [gateway.host for gateway in one.gateways if gateway.is_different]
    if different:
        yield f"another declaration in: {', '.join(different)}"


def _print_refusals(console: Console, refusals: Iterable[Refusal], now: datetime) -> None:
    for one in refusals:
        words = f"    refused {one.count:,}: {one.status} {printable(one.reason)}, last "
        print_line(console, Text(f"{words}{age(one.last_at, now)}", "red"))
