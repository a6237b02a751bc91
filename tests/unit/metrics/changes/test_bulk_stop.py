import pytest

from services.metrics.api.errors import deadline_exceeded
from services.metrics.changes.bulk_stop import why_stop, why_stop_after


@pytest.mark.parametrize(
    ("failed_again", "broker_is_there", "is_stopping", "word"),
    [
        (2, True, False, None),
        (3, True, False, "failed again"),
        (0, False, False, "broker"),
        (0, True, True, "stopped"),
    ],
)
def test_it_stops_for_each_reason_and_names_it(
    *, failed_again: int, broker_is_there: bool, is_stopping: bool, word: str | None
) -> None:
    """For no other reason does it end."""
    reason = why_stop(
        failed_again=failed_again,
        stop_after=3,
        broker_is_there=broker_is_there,
        is_stopping=is_stopping,
    )

    assert reason is None if word is None else word in str(reason)


def test_an_error_says_why_in_its_own_words() -> None:
    """The run ends with an answer, not with an error, and reports what was retried."""
    assert why_stop_after(deadline_exceeded()) == "Stopped: The answer was not ready in time."
