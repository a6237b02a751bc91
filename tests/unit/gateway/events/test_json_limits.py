"""Limits of depth and number of values, checked without parsing."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringback.contract.event import InvalidEvent
from ringback.services.gateway.events.metadata import (
    MAX_DEPTH,
    MAX_VALUES,
    has_too_many_values,
    is_too_deep,
    parse_metadata,
)

TEXTS = st.text(st.sampled_from('[]{}"\\,a'), max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


def depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, children), default=0) if isinstance(value, dict | list) else 0


@given(
    VALUES,
    st.integers(200, 300),
    st.sampled_from([b"[", b'{"]":']),
    st.sampled_from([b"0", b",".join([b"[[]]"] * MAX_DEPTH)]),
)
@example("]" * 400, 254, b"[", b"0")
@example(0, 254, b"[", b"0")
@example(0, 253, b'{"]":', b"0")
def test_depth_is_that_of_the_document(
    value: Any, levels: int, opening: bytes, filler: bytes
) -> None:
    """Braces within strings do not count, and neither do braces side by side."""
    closing = b"]" if opening == b"[" else b"}"
    body = b"[" + opening * levels + json.dumps(value).encode() + closing * levels
    body += b"," + filler + b"]"

    assert is_too_deep(body) == (1 + levels + depth(value) > MAX_DEPTH)


@pytest.mark.parametrize("piece", [b"{},", b"1,", b'"a",', b"[[[]]],"])
def test_too_many_values_are_rejected(piece: bytes) -> None:
    """The gateway rejects them before anything parses them."""
    body = b'{"type":"hang","x":[' + piece * MAX_VALUES + b"0]}"

    assert has_too_many_values(body)
    assert parse_metadata(body) is InvalidEvent.TOO_MANY_VALUES


def test_a_long_text_is_one_value() -> None:
    """A transcript may contain any number of commas and braces."""
    body = b'{"type":"hang","x":"' + b'[{,\\"' * MAX_VALUES + b'"}'

    assert not has_too_many_values(body)
