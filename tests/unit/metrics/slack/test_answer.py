"""What Slack's answers mean."""

import pytest

from services.metrics.slack.answer import Answer, Refused, Sent, TryLater, answer_of


@pytest.mark.parametrize(
    ("status", "said", "means"),
    [
        (200, "ok", Sent()),
        (201, "ok", Sent()),
        # Try again, after the time that Slack gives.
        (429, "rate_limited", TryLater("rate_limited", 7)),
        (429, "", TryLater("rate_limited", 7)),
        (200, "ratelimited", TryLater("rate_limited", 7)),
        (500, "rollup_error", TryLater("rollup_error", 7)),
        (503, "<html>", TryLater("status_503", 7)),
        (408, "", TryLater("status_408", 7)),
        (200, "internal_error", TryLater("internal_error", 7)),
        # Not Slack, but a proxy: a page that asks for a login.
        (200, "<html>", TryLater("status_200")),
        # Never.
        (400, "invalid_payload", Refused("invalid_payload")),
        (400, "Bad <https://token@host>", Refused("status_400")),
        (403, "invalid_token", Refused("invalid_token")),
        (404, "channel_not_found", Refused("channel_not_found")),
        (410, "channel_is_archived", Refused("channel_is_archived")),
        (200, "channel_not_found", Refused("channel_not_found")),
        (200, "invalid_auth", Refused("invalid_auth")),
        (302, "", Refused("status_302")),
    ],
)
def test_an_answer_says_whether_to_try_again(status: int, said: str, means: Answer) -> None:
    """Temporary failures are tried again; those that need a person are not."""
    assert answer_of(status, said, 7) == means
