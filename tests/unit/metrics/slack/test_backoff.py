"""How long we pause after a failed send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metrics.slack.client import backoff_s, retry_after_s


@pytest.mark.parametrize(
    ("failures", "waits_s"),
    [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (10_000, 60)],
)
def test_the_wait_doubles_up_to_a_minute(failures: int, waits_s: float) -> None:
    """The table of `backoff_s`."""
    assert backoff_s(failures, retry_after_s=None, jitter=0) == waits_s


@pytest.mark.parametrize(("asked", "waits_s"), [(0, 1), (7, 7), (3600, 3600), (999_999_999, 3600)])
def test_the_delay_of_slack_is_respected(asked: float, waits_s: float) -> None:
    """Up to an hour: a typing error must not silence us for good."""
    assert backoff_s(1, retry_after_s=asked, jitter=0) == waits_s


@given(st.integers(0, 10**9), st.none() | st.floats(0, 1e9), st.floats(0, 1))
def test_a_wait_is_never_shorter_than_asked(
    failures: int, asked: float | None, jitter: float
) -> None:
    """Jitter only adds, and the wait has bounds."""
    waits_s = backoff_s(failures, retry_after_s=asked, jitter=jitter)

    assert 1 <= waits_s <= 3601
    assert waits_s >= min(asked or 0, 3600)


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (None, None),
        ("30", 30),
        (" 30 ", 30),
        ("soon", None),
        ("-1", None),
        ("1" * 400, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_a_retry_after_that_is_not_a_number_is_ignored(
    header: str | None, asked: float | None
) -> None:
    """No value of the header raises."""
    assert retry_after_s(header) == asked
