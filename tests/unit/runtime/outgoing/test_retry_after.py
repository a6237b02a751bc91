"""Tests for ringback.runtime.outgoing.retry_after."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.runtime.outgoing.retry_after import retry_after_s

NOW_S = 1_764_400_000.0
MAX_S = 3600.0


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        ("0", 0),
        (" 30 ", 30),
        ("86400", MAX_S),
        ("9" * 5000, MAX_S),
        (formatdate(NOW_S + 300, usegmt=True), 300),
        (formatdate(NOW_S + 300).replace("-0000", ""), 300),
        (formatdate(NOW_S - 300, usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_S),
        ("Sat, 29 Nov 2025 07:11:40 +9999999999999999", None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("\N{SUPERSCRIPT TWO}", None),
    ],
)
def test_seconds_and_dates_are_read_up_to_the_limit(header: str, expected_s: float | None) -> None:
    assert retry_after_s(header, now_s=NOW_S, max_s=MAX_S) == expected_s


@given(st.text() | st.from_regex(r"\w{3}, \d+ (Jan|Oct) \d+ \d+:\d+:\d+ [+-]?\w*"))
def test_any_text_is_read_or_ignored(header: str) -> None:
    found_s = retry_after_s(header, now_s=NOW_S, max_s=MAX_S)

    assert found_s is None or 0 <= found_s <= MAX_S
