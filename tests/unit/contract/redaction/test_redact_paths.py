"""Tests for ringback.contract.redaction.redact_paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.json_text import read_json
from ringback.contract.redaction.redact_paths import (
    BadPathError,
    KeyRules,
    Rules,
    Way,
    fits,
    rules_in,
)
from ringback.contract.redaction.redaction import redaction_by
from ringback.contract.redaction.secret_names import judge


def test_the_word_defaults_stands_for_secrets_by_their_names() -> None:
    """Paths extend the defaults or replace them, or nothing is hidden."""
    assert rules_in("defaults") == Rules(by_name=True)
    assert rules_in("defaults, message.a.*") == Rules(by_name=True, paths=(("message", "a", "*"),))
    assert rules_in("a") == Rules(by_name=False, paths=(("a",),))
    assert rules_in("defaults,-b.c") == Rules(by_name=True, excepts=(("b", "c"),))
    assert rules_in("none") == Rules(by_name=False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has an empty path: is there a comma too many?"),
        ("a,,b", "has an empty path: is there a comma too many?"),
        ("a,-", "has an empty path"),
        ("a..b", "has the path 'a..b', whose segment '' is not valid"),
        ("a.*b", "the path 'a.*b', whose segment '*b'"),
        ("a.b c", "segment 'b c' is not valid"),
        ("a.**", "after ** there must be a name or *"),
        ("none,a", "has the word none in a place where only a path can be"),
        ("-defaults,a", "has the word defaults in a place"),
        ("-a", "has only exceptions; put defaults before them"),
        (".".join("a" * 21), "more than 20 segments"),
    ],
)
def test_a_bad_path_is_refused_in_words(text: str, reason: str) -> None:
    """At the start, by the name of the path."""
    with pytest.raises(BadPathError) as caught:
        redaction_by(text)

    assert reason in str(caught.value)


def way_of(*keys: str | int) -> Way:
    way: Way = None
    for key in keys:
        way = (key, way)
    return way


@pytest.mark.parametrize(
    ("path", "keys", "expected"),
    [
        ("number", ("message", "number"), True),
        ("customer.number", ("message", "customer", "number"), True),
        ("customer.number", ("message", "Customer_", "NUMBER"), True),
        ("customer.number", ("message", "number"), False),
        ("customer.number", ("customer", "phone", "number"), False),
        ("customers.number", ("customers", 3, "number"), True),
        ("customers.*.number", ("customers", 3, "number"), True),
        ("customers.*.number", ("customers", "ada", "number"), True),
        ("customers.*.number", ("customers", "number"), False),
        ("customers.**.number", ("customers", "a", 2, "b", "number"), True),
        ("**.number", ("number",), True),
        ("number", ("number", 0), True),
        ("presigned*", ("artifact", "presignedUrl"), True),
        ("presigned*", ("artifact", "url"), False),
        ("*", ("a",), True),
    ],
)
def test_a_path_matches_the_end_of_a_way(path: str, keys: tuple[str, ...], expected: bool) -> None:  # ruff: ignore[boolean-type-hint-positional-argument]
    """Case, separators and positions in a list are ignored."""
    assert fits(tuple(path.split(".")), way_of(*keys)) is expected


def test_new_keys_take_no_memory_for_ever() -> None:
    """The cache is bounded."""
    rules = KeyRules(Rules(by_name=True))

    for number in range(9_000):
        rules.find(f"key{number}", judge, remember=True)

    assert 0 < len(rules.known) <= 5_000


def test_entangled_paths_take_no_time() -> None:
    """The work grows with depth times segments."""
    path = ("**", "a") * 10

    assert not fits(("b", *path), way_of(*["a"] * 250))


@given(
    text=st.text()
    | st.lists(
        st.sampled_from(
            ["**", "*", "a", "b*", "defaults", "none", ".", ",", " ", "-", "**.**", "\x00"]
        )
    ).map("".join)
)
def test_any_text_is_a_list_of_paths_or_is_refused_in_words(text: str) -> None:
    """And what is a list of them can be used on any event."""
    try:
        redaction = redaction_by(text)
    except BadPathError:
        return

    assert redaction.of(read_json(b'{"a":{"b":[{"a":"x"}]},"secret":"y"}')).text
