"""Tests for ringback.contract.redaction.redaction."""

import json
from collections.abc import Iterator
from copy import deepcopy
from itertools import chain
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringback.contract.json_text import NotJsonError, TooDeepError, read_json
from ringback.contract.redaction.redaction import (
    DEFAULT_REDACTION,
    REDACTED,
    Redaction,
    redaction_by,
)
from tests.unit.contract.json_documents import JSON_TEXTS

NAMES = ["a", "ab", "b", "abc", "secret", "\xe9"]
SEGMENTS = st.sampled_from([*NAMES, "a*", "ab*", "*", "**"])
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).filter(lambda path: path[-1] != "**").map(tuple)
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=30,
)
Place = tuple[str | int, ...]


def leaves_of(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every leaf of a document, and every empty object or list, with the way to it."""
    if not isinstance(value, dict | list) or not value:
        yield place, value
        return
    children = value.items() if isinstance(value, dict) else enumerate(value)
    yield from chain.from_iterable(leaves_of(child, (*place, key)) for key, child in children)


def leads_to(path: tuple[str, ...], place: Place) -> bool:
    """Whether the path names the place, or something that it is within. The plain definition."""
    if not path:
        return True
    if path[0] == "**" and leads_to(path[1:], place):
        return True
    if not place:
        return False
    first, key = path[0], place[0]
    if first == "**":
        return leads_to(path, place[1:])
    fits = first == "*" or (
        isinstance(key, str)
        and (key.startswith(first[:-1]) if first.endswith("*") else key == first)
    )
    return fits and leads_to(path[1:], place[1:])


@example(document={"a": None, "ab": False}, paths=[("a",), ("a*", "a")], pretty=False)
@given(document=DOCUMENTS, paths=st.lists(PATHS, max_size=4), pretty=st.booleans())
def test_what_is_listed_goes_and_all_else_stays(
    document: Any, paths: list[tuple[str, ...]], *, pretty: bool
) -> None:
    """Leaf by leaf, as the plain definition has it; the original is not touched."""
    read = read_json(json.dumps(document, indent=2 if pretty else None).encode())
    before = deepcopy(read.value)

    redacted = Redaction(tuple(paths)).of(read)

    assert read.value == before
    assert redacted.value == json.loads(redacted.text)
    for (place, old), (new_place, new) in zip(
        leaves_of(before), leaves_of(redacted.value), strict=True
    ):
        listed = any(leads_to(path, place) for path in paths)
        is_empty = isinstance(old, dict | list)
        assert new_place == place
        assert new == (REDACTED if listed and not is_empty and old is not None else old)


def digits_of(text: str) -> Any:
    """A document with each number as the text that it is written in."""
    return json.loads(text, parse_float=str, parse_int=str)


@given(text=JSON_TEXTS)
def test_numbers_keep_their_digits(text: str) -> None:
    """What stands beside a hidden value is written as it was, whatever Python makes of it."""
    try:
        kept = read_json(f'{{"kept":{text},"secret":"x"}}'.encode())
    except (NotJsonError, TooDeepError):
        return

    redacted = DEFAULT_REDACTION.of(kept)

    assert digits_of(redacted.text) == {**digits_of(kept.text), "secret": REDACTED}


@given(document=DOCUMENTS, paths=st.lists(PATHS, max_size=4))
def test_redacting_twice_changes_nothing_more(document: Any, paths: list[tuple[str, ...]]) -> None:
    """So a retry, and an event that is shown, stay as they were written."""
    redaction = Redaction(tuple(paths))
    once = redaction.of(read_json(json.dumps(document).encode()))

    twice = redaction.of(read_json(once.text.encode()))

    assert twice.value == once.value
    assert twice.hidden == ()


@pytest.mark.parametrize("name", ["secret", "presignedAnythingUrl", r"secr\u0065t"])
def test_an_escaped_or_new_name_is_no_way_around(name: str) -> None:
    """A key is what it says, however it is spelled."""
    body = f'{{"message":{{"artifact":{{"{name}":["canary",7]}}}}}}'.encode()

    redacted = DEFAULT_REDACTION.of(read_json(body))

    assert "canary" not in redacted.text
    assert redacted.hidden == ("canary", "7")


def test_the_keys_of_strangers_take_no_memory_for_ever() -> None:
    """What is remembered of keys is bounded."""
    redaction = redaction_by("**.secret")
    for number in range(3_000):
        redaction.of(read_json(f'{{"k{number}":1}}'.encode()))

    assert len(redaction._first.by_key) <= 1_000
