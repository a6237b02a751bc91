"""Tests for ringback.contract.redaction.scrub."""

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringback.contract.redaction.scrub import REDACTED, scrub_beginning, scrub_secrets

SECRET = 's3cr3t-"of"\n-the-line/and+more'


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"got {SECRET}, and again {SECRET}",
        repr({"secret": SECRET}),
        json.dumps({"secret": SECRET}),
        f"https://shop.example/?secret={quote(SECRET)}",
        f"https://shop.example/?secret={quote_plus(SECRET)}",
        f"input_value='{SECRET[:12]}...{SECRET[-12:]}'",
        f"cut at the end: {SECRET[:9]}",
    ],
)
def test_a_quotation_goes_however_it_was_made(text: str) -> None:
    """As it is, as a program prints it, or cut."""
    cleaned = scrub_secrets(text, [SECRET])

    assert REDACTED in cleaned
    assert SECRET[:8] not in cleaned
    assert SECRET[-8:] not in cleaned
    assert quote(SECRET)[-8:] not in cleaned


@example(text="0", hidden=["0000", "0000", "1001"])
@given(text=st.text(max_size=40), hidden=st.lists(st.text(min_size=4, max_size=20), max_size=3))
def test_no_hidden_value_is_left(text: str, hidden: list[str]) -> None:
    """Whatever surrounds it."""
    quoting = text.join(["", *hidden, ""])

    # Without the marks, the text on both sides of one could spell a hidden value by chance.
    shown = scrub_secrets(quoting, hidden).split(REDACTED)

    assert not any(value in part for part in shown for value in hidden if value not in REDACTED)


@given(before=st.integers(0, 60), length=st.integers(4, 30), after=st.integers(0, 60))
def test_a_value_across_the_cut_is_not_shown(before: int, length: int, after: int) -> None:
    """Neither its beginning nor its end, however little of it is before the cut."""
    value = ("1234567890" * 3)[:length]

    cut = scrub_beginning("." * before + value + "." * after, 40, [value])

    assert cut.startswith("." * min(before, 40))
    assert not set(cut) & set(value)


def test_a_text_without_quotations_stays() -> None:
    """Short values reveal nothing, and are not removed."""
    assert scrub_secrets("The line is busy.", ["is", SECRET]) == "The line is busy."
