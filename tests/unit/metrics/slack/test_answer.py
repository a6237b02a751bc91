"""What Slack's answers mean."""

import pytest

from services.metrics.slack.client import Rejected, SendResult, Sent, TryLater, send_result


@pytest.mark.parametrize(
    ("status", "text", "means"),
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
        (400, "invalid_payload", Rejected("invalid_payload")),
        (400, "Bad <https://token@host>", Rejected("status_400")),
        (403, "invalid_token", Rejected("invalid_token")),
        (404, "channel_not_found", Rejected("channel_not_found")),
        (410, "channel_is_archived", Rejected("channel_is_archived")),
        (200, "channel_not_found", Rejected("channel_not_found")),
        (200, "invalid_auth", Rejected("invalid_auth")),
        (302, "", Rejected("status_302")),
    ],
)
def test_a_result_says_whether_to_try_again(status: int, text: str, means: SendResult) -> None:
    """Temporary failures are tried again; those that need a person are not."""
    assert send_result(status, text, 7) == means
