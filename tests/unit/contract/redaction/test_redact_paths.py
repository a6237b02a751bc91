"""Tests for ringback.contract.redaction.redact_paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.json_text import read_json
from ringback.contract.redaction.redact_paths import DEFAULT_PATHS, BadPathError, paths_in
from ringback.contract.redaction.redaction import redaction_by


def test_the_word_defaults_stands_for_the_known_credentials() -> None:
    """Paths are added to them, or stand instead of them, or there are none."""
    assert len(paths_in("defaults")) == len(DEFAULT_PATHS)
    assert paths_in("defaults, message.a.*") == (*paths_in("defaults"), ("message", "a", "*"))
    assert paths_in("a") == (("a",),)
    assert paths_in("none") == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,,b", "has an empty path: is there a comma too many?"),
        ("a..b", "has the path 'a..b', of which the segment '' is none"),
        ("a.*b", "the segment '*b' is none"),
        ("a.b c", "the segment 'b c' is none"),
        ("a.**", "** must be followed by a name or *"),
        ("none,a", "it stands alone"),
        (".".join("a" * 21), "more than 20 segments"),
        (",".join(f"**.a{n}.**.b{n}" for n in range(12)), "too many paths in which **"),
    ],
)
def test_a_bad_path_is_told_in_words(text: str, reason: str) -> None:
    """At the start, by the name of the path."""
    with pytest.raises(BadPathError) as caught:
        redaction_by(text)

    assert reason in str(caught.value)


@given(
    text=st.text()
    | st.lists(
        st.sampled_from(["**", "*", "a", "b*", "defaults", "none", ".", ",", " ", "**.**", "\x00"])
    ).map("".join)
)
def test_any_text_is_a_list_of_paths_or_is_told_in_words(text: str) -> None:
    """And what is a list of them can be used on any event."""
    try:
        redaction = redaction_by(text)
    except BadPathError:
        return

    assert redaction.of(read_json(b'{"a":{"b":[{"a":"x"}]},"secret":"y"}')).text
