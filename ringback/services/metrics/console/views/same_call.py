"""How to get what a page shows without the console."""

import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
from google.protobuf.message import Message

from ringback.metrics.json_document import document

_OF_A_PAGE = {"pageSize", "pageToken"}


def command(*words: str, **options: str) -> str:
    """`command("dead", "list", event_type="hang")`; an empty option is left out."""
    given = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value.startswith("-"):
            given.append(f"{option}={value}")
        elif value:
            given += [option, value]
    return shlex.join(["ringback", *words, *given])


def get_path(path: str, request: Message) -> str:
    """The path and the query of the REST call with this request, from its first page."""
    query = {name: _text(value) for name, value in _given(document(request)).items()}
    return path + (f"?{urlencode(query, safe=':')}" if query else "")


def body(request: Message) -> str:
    """The body of the REST call with this request."""
    return _text(_given(document(request)))


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are set, except those of one page."""
    values = {
        name: _given(value) if isinstance(value, dict) else value for name, value in fields.items()
    }
    return {name: value for name, value in values.items() if value and name not in _OF_A_PAGE}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
