"""What read_json keeps, PostgreSQL keeps: the two agree about every document."""

import json
import operator
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ringback.contract.json_text import JsonText, NotJsonError, TooDeepError, read_json
from tests.unit.contract.json_documents import JSON_TEXTS, broken

pytestmark = pytest.mark.slow

MAX_GROWTH = 8
"""`1e30,` is five bytes and prints 31 digits, a comma and a space."""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def examples(count: int) -> list[bytes]:
    """Documents of every kind, whole and broken, found by hypothesis but asked in one batch."""
    found: list[str] = []

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(JSON_TEXTS)
    def collect(text: str) -> None:
        found.append(text)

    collect()
    return [text.encode() for text in found] + [
        broken(text, seed) for seed, text in enumerate(found)
    ]


def readable(bodies: list[bytes]) -> list[tuple[bytes, JsonText]]:
    read = []
    for body in bodies:
        try:
            read.append((body, read_json(body)))
        except (NotJsonError, TooDeepError):
            continue
    return read


def meaning(value: Any) -> Any:
    """A document as JSONB compares it: numbers by their value, members without order."""
    match value:
        case dict():
            return {name: meaning(child) for name, child in value.items()}
        case list():
            return [meaning(child) for child in value]
        case int() | float() if not isinstance(value, bool):
            return float(value)
        case _:
            return value


async def test_every_stored_text_is_valid_jsonb(connection: asyncpg.Connection) -> None:
    """PostgreSQL accepts it, prints it in a limited size and with the same meaning."""
    read = readable(examples(1_000))

    printed = await connection.fetch(
        "SELECT text::jsonb::text AS text FROM unnest($1::text[]) WITH ORDINALITY AS t (text, n)"
        " ORDER BY n",
        [document.text for _, document in read],
    )

    assert len(read) > 500
    for (body, document), row in zip(read, printed, strict=True):
        assert len(row["text"].encode()) <= MAX_GROWTH * len(body) + 8, body
        assert meaning(json.loads(row["text"])) == meaning(document.value), body


async def test_a_document_is_altered_exactly_if_something_is_lost(
    connection: asyncpg.Connection,
) -> None:
    """Digit by digit, an unaltered document is returned as it was sent."""
    read = readable(examples(1_000))
    kept = [(body, document) for body, document in read if not document.altered]
    lost = [(body, document) for body, document in read if document.altered]

    printed = await connection.fetch(
        "SELECT text::jsonb::text AS text FROM unnest($1::text[]) WITH ORDINALITY AS t (text, n)"
        " ORDER BY n",
        [document.text for _, document in kept],
    )

    assert len(kept) > 100
    for (body, _), row in zip(kept, printed, strict=True):
        assert exact(row["text"].encode()) == exact(body), body
    assert len(lost) > 100
    for body, document in lost:
        assert exact(body) != exact(document.text.encode()), body


def exact(body: bytes) -> Any:
    """A document with numbers as they are, to the last digit, and with keys that came twice."""
    return json.loads(
        body.decode(),
        parse_float=_number,
        parse_int=_number,
        object_pairs_hook=lambda pairs: sorted(pairs, key=operator.itemgetter(0)),
    )


def _number(literal: str) -> tuple[str, int]:
    """Digits without zeros around them, and the power of ten of the last one."""
    sign, digits = ("-", literal[1:]) if literal.startswith("-") else ("", literal)
    mantissa, _, exponent = digits.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    significant = (whole + fraction).lstrip("0")
    power = int(exponent or 0) - len(fraction) + len(significant) - len(significant.rstrip("0"))
    significant = significant.rstrip("0")
    return (sign + significant, power) if significant else ("0", 0)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b",".join([b"1e30"] * 20_000) + b"]",
        b"[" + b",".join([b"1e-30"] * 20_000) + b"]",
        b"[" + b",".join([b"1e31"] * 20_000) + b"]",
        b"[" + b",".join([b"1e130000"] * 10_000) + b"]",
        b"[" + b",".join([rb'"\u0000"'] * 10_000) + b"]",
        b"[" + b",".join([rb'"\u0001"'] * 10_000) + b"]",
        b'["' + b"\\ud800" * 20_000 + b'"]',
        b'{"a":' * 254 + b"1" + b"}" * 254,
        b"[" + b",".join(b"9" * 300 for _ in range(300)) + b"]",
    ],
    ids=lambda body: body[:12].decode(),
)
async def test_no_body_explodes(connection: asyncpg.Connection, body: bytes) -> None:
    """A page of dead letters is readable, whatever untrusted senders sent."""
    document = read_json(body)

    printed = await connection.fetchval("SELECT $1::text::jsonb::text", document.text)

    assert len(printed.encode()) <= MAX_GROWTH * len(body)
