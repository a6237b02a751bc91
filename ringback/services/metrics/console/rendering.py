"""Renders templates. Everything in a template is escaped; there is no way around it here."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ringback.contract.utc_time import in_seconds, utc_text
from ringback.metrics.enum_words import words_of
from ringback.services.metrics.console.assets import assets
from ringback.services.metrics.console.views.queues import processing_state, processors, waits_for
from ringback.services.metrics.console.views.text import (
    in_bytes,
    number,
    pace,
    run_kind,
    short_id,
    visible,
)
from ringback.services.metrics.transport.errors import ApiError

_REQUEST_ID = uuid4().hex
"""Stands for the request id of a form until the page is sent. Nobody else knows it."""

_AS_OF = uuid4().hex
"""The same for the time at which the page is made."""


class Renderer:
    """`base_path` is where the browser finds the console, as in `/console`.

    `trace_url` returns where a trace id is shown; None if nowhere.
    """

    def __init__(
        self, base_path: str, trace_url: Callable[[str], str | None] = lambda _: None
    ) -> None:
        self._base_path = base_path
        self._environment = Environment(
            loader=PackageLoader("ringback.services.metrics.console"),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "link": self.link,
            "job": self._job,
            "to": self._to,
            "asset": lambda name: self.link(assets()[name].path),
            "request_id": lambda: _REQUEST_ID,
            "as_of": lambda: _AS_OF,
            "pace": pace,
            "trace_url": trace_url,
        }
        self._environment.filters |= FILTERS
        self._environment.tests["error"] = lambda value: isinstance(value, ApiError)
        macros = self._environment.get_template("macros.html").module
        self._environment.globals |= {
            name: value for name, value in vars(macros).items() if not name.startswith("_")
        }

    def link(self, path: str, /, *segments: str, **query: str | int | None) -> str:
        """The address of a page: `link("/calls", call_id)`, `link("/search", q="type:hang")`.

        Each segment is quoted. A value that is None or empty is left out of the query.
        """
        quoted = "".join(f"/{quote(each, safe='')}" for each in segments)
        given = {name: value for name, value in query.items() if value not in {None, ""}}
        return f"{self._base_path}{path}{quoted}" + (f"?{urlencode(given)}" if given else "")

    def render(self, template: str, data: Mapping[str, Any]) -> tuple[bytes, str]:
        """The page, and its ETag, which is the same as long as the page shows the same."""
        text = self._environment.get_template("base.html").render(data, template=template)
        tag = f'W/"{sha256(text.encode()).hexdigest()[:24]}"'
        text = text.replace(_AS_OF, _time(datetime.now(UTC)))
        return re.sub(_REQUEST_ID, lambda _: str(uuid4()), text).encode(), tag

    def _to(self, text: str, path: str, /, *segments: str, **query: str | int | None) -> Markup:
        """A link with a text; the rest is that of `link`."""
        address = self.link(path, *segments, **query)
        return Markup('<a href="{}">{}</a>').format(address, _shown(text))

    def _job(self, job_id: str) -> Markup:
        """A link to the page of a webhook; nothing without an id."""
        return self._to(_id(job_id), "/webhooks", job_id) if job_id else Markup()


def _time(moment: Timestamp | datetime | None) -> Markup | str:
    """A time in UTC; the script adds how long ago it was."""
    if isinstance(moment, Timestamp):
        moment = moment.ToDatetime(tzinfo=UTC) if moment.seconds else None
    if moment is None:
        return "—"
    exact = utc_text(moment, "milliseconds")
    shown = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, shown)


def _id(job_id: str) -> Markup | str:
    """A job id as the terminal shows it, with the whole one to copy."""
    if not job_id:
        return "—"
    return Markup('<span class="id" title="{}" data-copy="{}">{}</span>').format(
        job_id, job_id, short_id(job_id)
    )


def _visible(text: str) -> Markup:
    """Text from outside. What nobody could see is shown as a mark with its name."""
    if not text:
        return Markup()
    pieces = [
        Markup('<span class="mark" title="{}">{}</span>').format(name, piece) if name else piece
        for piece, name in visible(text)
    ]
    return Markup("<bdi>{}</bdi>").format(Markup("").join(pieces))


def _shown(value: str | float | Timestamp | datetime | None) -> Markup | str:
    """A value as people read it. A text that is no Markup is from outside."""
    match value:
        case Markup():
            return value
        case str():
            return _visible(value)
        case int() | float():
            return number(value)
        case _:
            return _time(value)


def _quiet(value: str | int) -> Markup:
    """A text that matters less than those around it."""
    return Markup('<span class="quiet">{}</span>').format(_shown(value))


def _badge(word: str) -> Markup:
    """A status as an icon and a word."""
    return Markup('<span class="badge {}"><span aria-hidden="true">{}</span> {}</span>').format(
        word, _ICONS.get(word, "•"), word.replace("_", " ") or "unknown"
    )


def _labelled(rows: Markup, heads: str) -> Markup:
    """The rows of a table, each cell with the head of its column: narrow windows show it there.

    What is in a cell is escaped or has no cells, so each tag is one of the table.
    """
    labelled = []
    for row in rows.split("<tr"):
        start, *cells = row.split("<td")
        names = heads.split("|")["<th" in start :]
        tagged = (
            Markup('<td data-head="{}"{}').format(name.lstrip("#"), cell)
            if _HAS_CONTENT.match(cell)
            else Markup("<td{}").format(cell)
            for name, cell in zip(names[: len(cells)], cells, strict=True)
        )
        labelled.append(start + Markup().join(tagged))
    return Markup("<tr").join(labelled)


def _word(message: Message, field: str) -> str:
    """The value of an enum as REST writes it, such as `dead_letter`; empty if it is unspecified."""
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    return words_of(enum).get(getattr(message, field), "")


_ICONS = {
    word: icon
    for icon, words in {
        "✓": ("completed", "closed", "finished"),
        "✕": ("dead_letter", "open", "permanent"),
        "↻": ("failed", "half_open"),
        "▸": ("processing", "running"),
        "…": ("pending", "held"),
        "‖": ("paused",),
        "■": ("stopped",),
        "=": ("duplicate",),
    }.items()
    for word in words
}

_HAS_CONTENT = re.compile(r"(?! colspan|>\s*</td>)")

FILTERS: Mapping[str, Callable[..., Any]] = {
    "time": _time,
    "id": _id,
    "visible": _visible,
    "shown": _shown,
    "quiet": _quiet,
    "word": _word,
    "badge": _badge,
    "labelled": _labelled,
    "kind": run_kind,
    "processing_state": processing_state,
    "processors": processors,
    "waits_for": waits_for,
    "number": number,
    "seconds": in_seconds,
    "bytes": in_bytes,
}
