"""Tests for ringback.contract.json_text; a separate test checks the texts against PostgreSQL."""

import json
import math
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringback.contract.json_text import (
    JsonText,
    NotJsonError,
    TooDeepError,
    read_json,
    read_json_in_parts,
    sanitize_text,
)
from tests.unit.contract.json_documents import ANY_BYTES, JSON_TEXTS

FFFD = "\N{REPLACEMENT CHARACTER}"


def parts_of(value: Any) -> list[Any]:
    """Every key and every leaf of a document."""
    match value:
        case dict():
            return [*value, *(part for child in value.values() for part in parts_of(child))]
        case list():
            return [part for child in value for part in parts_of(child)]
        case _:
            return [value]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'"a\u0000b"', f'"a{FFFD}b"'),
        (rb'{"a\u0000":1}', f'{{"a{FFFD}":1}}'),
        (rb'"\ud800"', f'"{FFFD}"'),
        (rb'"\ude00\ud83d"', f'"{FFFD}{FFFD}"'),
        (b'{"a":1,"a":2}', '{"a":2}'),
        (b"1e130000", '"1e130000"'),
        (b"[1e-00000000020000]", '["1e-00000000020000"]'),  # zeros do not hide an exponent
        (b"1e31", '"1e31"'),
        (b"-1e400", '"-1e400"'),
        (b"9" * 301, f'"{"9" * 301}"'),
        (b"0." + b"3" * 299, f'"0.{"3" * 299}"'),
        (b"9" * 290 + b".5e30", f'"{"9" * 290}.5e30"'),  # of few digits, and beyond any float
    ],
)
def test_what_cannot_be_kept_is_replaced_and_said(body: bytes, text: str) -> None:
    """The part is replaced, the rest stays, and the document is marked as altered."""
    assert read_json(body) == JsonText(value=json.loads(text), text=text, altered=True)


@pytest.mark.parametrize(
    "body",
    [
        b'{"message":{"type":"hang"}}',
        b' { "a" : [ 1.10 , 1E+5, 1e30, 1e-30 ] }\r\n',
        rb'"\ud83d\ude00"',  # a pair of surrogates is one character
        rb'"\\u0000"',  # a backslash and some letters
        rb'"\\\\u0000 e+9"',
        b"9" * 300,
        b"0." + b"3" * 298,
        b'"0195f9ce-123e-1234-8def-0123456789ab"',
        '"\N{GRINNING FACE}\N{REPLACEMENT CHARACTER}\x7f\ufeff"'.encode(),
        b"-0.0",
        b"18446744073709551616",
    ],
)  # fmt: skip
def test_what_can_be_kept_is_kept_to_the_byte(body: bytes) -> None:
    """The text is unchanged, including spaces and digits."""
    document = read_json(body)

    assert not document.altered
    assert document.text.encode() == body
    assert document.value == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{", b"[1,]", b"{'a':1}", b"01", b"+1", b".5", b"1.", b"NaN", b"[Infinity]",
     b"-Infinity", b"nul", b"1 2", b'"\x00"', b'"\n"', b'"\xff"', b'"\xed\xa0\x80"',
     b"\xef\xbb\xbf1", b'"\xc0\x80"', rb'"\x41"', rb'"\u12"', "1".encode("utf-16")],
)  # fmt: skip
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """RFC 8259 in UTF-8, nothing else."""
    with pytest.raises(NotJsonError):
        read_json(body)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("heart", [b"1", rb'"\ud800"', b"1e999", b" 1 "])
def test_254_levels_are_read(opening: bytes, heart: bytes, closing: bytes) -> None:
    """The limit is the same for every way of parsing."""
    document = read_json(opening * 254 + heart + closing * 254)

    assert orjson.dumps(orjson.loads(document.text))
    with pytest.raises(TooDeepError):
        read_json(opening * 255 + heart + closing * 255)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'["\\ud800",'])
def test_any_depth_is_refused_by_name(opening: bytes) -> None:
    """Closed or not, no depth exhausts the stack."""
    closing = b"}" if opening.startswith(b"{") else b"]"

    for levels in (900, 1_000, 1_100, 5_000, 200_000):
        with pytest.raises(TooDeepError):
            read_json(opening * levels + b"1" + closing * levels)
        with pytest.raises((TooDeepError, NotJsonError)):
            read_json(opening * levels)


@given(ANY_BYTES)
@example(b'{"a":"\\ud800')
def test_nothing_else_is_raised(body: bytes) -> None:
    """For any input, the answer is a document or one of two errors."""
    try:
        document = read_json(body)
    except (NotJsonError, TooDeepError):
        return

    assert document.altered or document.text.encode() == body


@given(JSON_TEXTS)
def test_what_is_kept_can_be_stored_and_read_again(text: str) -> None:
    """Handlers write parts of a document into columns; a retry publishes the stored text."""
    kept = read_json(text.encode())

    again = read_json(kept.text.encode())

    assert (again.text, again.altered) == (kept.text, False)
    for part in parts_of(kept.value):
        assert not isinstance(part, str) or sanitize_text(part) == part
        assert not isinstance(part, float) or math.isfinite(part)


@given(JSON_TEXTS, st.sampled_from([None, "", " ", "\n\t"]))
@example('{"a":1,"a":1}', " ")
@example('{"a":[1.0,1e5,"\\u0041"]}', " ")
@example('{"a b":" [ 1 , 2 ] "}', " ")
def test_the_quick_way_and_the_way_in_parts_agree(text: str, space: str | None) -> None:
    """A document as orjson writes it, with spaces or without, takes a shorter path."""
    body = text.encode()
    if space is not None:
        with suppress(ValueError):
            value = json.loads(orjson.dumps(orjson.loads(text)))
            body = json.dumps(value, indent=space or None, ensure_ascii=False).encode()

    quick, in_parts = read_json(body), read_json_in_parts(body)

    assert quick == in_parts


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_a_document_of_any_layout_takes_the_quick_way(indent: int | None) -> None:
    """Only then is it redacted by writing the parsed value."""
    document: Any = {"a b": [1, 2.5, -0.0, None, True, '" \\ / \n {[ , ]}', {}, []], "\xe9": ""}
    body = json.dumps(document, indent=indent, ensure_ascii=False).encode()

    read = read_json(body)

    assert read.is_canonical
    assert read.text.encode() == body


@given(st.text(st.characters(codec=None)) | st.text("a\x00\ud800\udfff\xe9"))
def test_only_what_cannot_be_stored_is_replaced(text: str) -> None:
    """NUL and lone surrogates, each by one character."""
    expected = "".join(FFFD if c == "\x00" or "\ud800" <= c <= "\udfff" else c for c in text)

    assert sanitize_text(text) == expected
