"""The messages as Slack gets them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringback.services.metrics.slack.alert_log import AlertGroup, Example
from ringback.services.metrics.slack.message import (
    Links,
    Message,
    about_many,
    about_one,
    about_quiet,
    about_stopped,
)
from tests.support.block_kit import refusal, texts, unexpected_markup
from tests.unit.metrics.slack.alerts import group, quiet_for, stopped

LINKS = Links(
    trace_url_template="https://grafana.example/explore?left={trace_id}&x=<y>|z",
    dashboard_url="https://grafana.example/d/overview",
)
EXAMPLE = Example(
    attempts=4,
    max_attempts=4,
    error_message="No answer from https://crm.example/v1?key=abc: {'name': 'Ada'} <!channel>",
    trace_id="0dba450069cd5897d89c5178f50fe0be",
)
PINNED = Path(__file__).parent / "pinned"
HOSTILE = "<!channel> <@U123> <https://evil.example|Retry> `*_~ & \u202e\nsecond line"


def as_sent(message: Message) -> dict[str, Any]:
    return {"text": message.text, "blocks": message.blocks}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one", about_one(group(), EXAMPLE, LINKS)),
        ("burst", about_one(group(unsent=1000, sent=7), EXAMPLE, LINKS)),
        ("bare", about_one(group(), None, Links())),
        (
            "many",
            about_many([group(unsent=n, event_type=f"kind-{n}") for n in range(1, 31)], LINKS),
        ),
        ("quiet", about_quiet([quiet_for(310)], {quiet_for(310).key: 2}, LINKS)),
        ("quiet_many", about_quiet([quiet_for(310), quiet_for(300)], {}, Links())),
        ("quiet_uncounted", about_quiet([quiet_for(310)], None, LINKS)),
        ("stopped", about_stopped([stopped()], LINKS)),
        ("stopped_many", about_stopped([stopped(f"crm-{n}") for n in range(12)], Links())),
    ],
)
def test_a_message_is_as_pinned(name: str, message: Message) -> None:
    """Changes of the text show up in review. Slack accepts each of these messages."""
    pinned = json.loads((PINNED / f"{name}.json").read_text(encoding="utf-8"))

    assert as_sent(message) == pinned
    assert refusal(pinned) is None


@pytest.mark.parametrize("field", ["event_type", "error_class", "error_message"])
def test_untrusted_text_mentions_no_one(field: str) -> None:
    """Neither a channel, nor a person, nor a link: Slack shows the letters."""
    one = group(
        event_type=HOSTILE if field == "event_type" else "hang",
        error_class=HOSTILE if field == "error_class" else "TimeoutError",
    )
    message = HOSTILE if field == "error_message" else "It took too long."
    example = Example(attempts=4, max_attempts=4, error_message=message, trace_id=None)

    sent = as_sent(about_one(one, example, Links()))

    assert "&lt;!channel&gt;" in json.dumps(sent)
    assert not [found for text in texts(sent) for found in unexpected_markup(text)]


def test_a_name_that_a_shell_would_take_apart_stands_in_no_command() -> None:
    """The command is there to be copied."""
    for name in ("a;rm -rf /", "--all", "$(reboot)", "a b", "x" * 200, "sk_live_12345678"):
        text = json.dumps(as_sent(about_one(group(unsent=5, event_type=name), EXAMPLE, LINKS)))

        assert "--dry-run" not in text

    text = json.dumps(as_sent(about_one(group(unsent=5), EXAMPLE, LINKS)))
    assert "dead retry --event-type hang --error-class TimeoutError --dry-run" in text


def test_an_invalid_trace_id_makes_no_link() -> None:
    """The value in the log need not be one."""
    for trace_id in (None, "", "t" * 32, "0" * 31, "../" * 10):
        assert LINKS.trace_of(trace_id) is None


_GROUPS = st.builds(
    group,
    unsent=st.integers(1, 10**12),
    event_type=st.text(min_size=1, max_size=255),
    error_class=st.text(min_size=1, max_size=200) | st.just("&" * 200),
)


_LONGEST = group(event_type="&" * 255, error_class="&" * 200)  # each becomes five characters


@example(groups=[_LONGEST] * 60, error="&" * 3_000)
@given(groups=st.lists(_GROUPS, min_size=1, max_size=60), error=st.text(max_size=3_000))
def test_slack_takes_every_message(groups: list[AlertGroup], error: str) -> None:
    """Texts of 3,000 characters and 50 blocks at most, whatever the names and errors are."""
    example = Example(attempts=4, max_attempts=4, error_message=error, trace_id="a" * 32)

    for message in (
        about_one(groups[0], example, LINKS),
        about_many(groups, LINKS),
        about_quiet(groups, {}, LINKS),
        about_stopped([stopped(error=error)] * len(groups), LINKS),
    ):
        sent = as_sent(message)
        assert refusal(sent) is None
        assert len(sent["text"]) <= 1_000
        assert not [found for text in texts(sent) for found in unexpected_markup(text)]
