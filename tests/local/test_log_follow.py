"""What the terminal shows of the services' logs."""

import json
from pathlib import Path

import pytest

from ringback.local.log_follow import Follower, Shown, shown_line


@pytest.mark.parametrize(
    ("level", "event", "shown"),
    [
        ("info", "service.started", None),  # from the table
        ("info", "webhook.accepted", None),  # its attempt is about to be shown
        ("info", "webhook.rejected", "webhook.rejected job_id=7"),  # its sender waits
        ("debug", "webhook.rejected", None),  # nobody asked for that much
        ("warning", "broker.unavailable", "broker.unavailable job_id=7"),  # whatever warns is shown
        ("error", "service.failed", "service.failed job_id=7"),  # so is what failed
    ],
)
def test_refusals_and_warnings_are_shown(level: str, event: str, shown: str | None) -> None:
    """A newcomer sees problems, and no routine lines."""
    line = json.dumps({"ts": "now", "level": level, "event": event, "job_id": "7", "org_id": "1"})

    got = shown_line("gateway", line)

    assert got == (Shown("gateway", level, shown) if shown else None)


@pytest.mark.parametrize(
    ("outcome", "error_class", "shown"),
    [("completed", None, "completed"), ("failed", "KeyError", "failed with KeyError")],
)
def test_an_attempt_is_one_short_line(outcome: str, error_class: str | None, shown: str) -> None:
    line = json.dumps(
        {
            "level": "info",
            "event": "attempt.finished",
            "event_type": "hang",
            "outcome": outcome,
            "error_class": error_class,
            "attempts": "1/4",
            "duration_ms": 2.5,
            "job_id": "7",
            "dedup_key": "not for a person",
        }
    )

    got = shown_line("processor", line)

    assert got == Shown("processor", "info", f"hang {shown}, attempt 1/4, 2.5 ms, job 7")


def test_a_dead_letter_shows_its_error_first() -> None:
    """The terminal may cut the end of the line."""
    line = json.dumps(
        {
            "level": "error",
            "event": "dead_letter.recorded",
            "event_type": "hang",
            "call_id": "not for a person",
            "error_class": "KeyError",
            "error_message": "'phone'",
            "job_id": "7",
        }
    )

    got = shown_line("processor", line)

    assert got == Shown("processor", "error", "hang is a dead letter: KeyError: 'phone', job 7")


@pytest.mark.parametrize("line", ["", "Traceback (most recent call last):", "[1]", "{"])
def test_a_line_that_is_no_log_record_is_left_to_the_file(line: str) -> None:
    """Whatever a library prints does not break the terminal."""
    assert shown_line("gateway", line) is None


def test_only_whole_new_lines_are_read(tmp_path: Path) -> None:
    """Old lines are skipped, and half a line waits for its other half."""
    path = tmp_path / "log"
    path.write_text("old\n")
    follower = Follower(path)

    with path.open("a") as log:
        log.write("one\ntw")
        log.flush()
        first = follower.new_lines()
        log.write("o\n")
    second = follower.new_lines()

    assert (first, second) == (["one"], ["two"])
