"""Tests for services.processor.attempt.context."""

import pytest

from services.processor.attempt.context import Stopwatch


def test_it_adds_up_and_knows_whether_it_ran() -> None:
    """An attempt that ran no handler has no handler time, and no 0 is counted."""
    stopwatch = Stopwatch()

    before = stopwatch.seconds
    with stopwatch:
        pass
    once = stopwatch.seconds
    with pytest.raises(LookupError), stopwatch:
        raise LookupError

    assert before is None
    assert once is not None
    assert stopwatch.seconds is not None
    assert stopwatch.seconds > once
