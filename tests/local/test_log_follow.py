"""What the terminal shows of the services' logs."""

import json
from pathlib import Path

import pytest

from ringback.local.log_follow import Follower, Shown, worth_showing


@pytest.mark.parametrize(
    ("level", "event", "shown"),
    [
        ("info", "webhook.accepted", True),  # each webhook is a line
        ("info", "service.started", False),  # the table says so
        ("debug", "webhook.accepted", False),  # nobody asked for that much
        ("warning", "broker.away", True),  # whatever warns is shown
        ("error", "service.failed", True),  # so is what failed
    ],
)
def test_webhooks_and_warnings_are_shown(level: str, event: str, shown: bool) -> None:  # ruff: ignore[boolean-type-hint-positional-argument]
    """A newcomer sees each webhook and whatever warns, and nothing else."""
    line = json.dumps({"ts": "now", "level": level, "event": event, "job_id": "7"})

    got = worth_showing("gateway", line)

    assert got == (Shown("gateway", level, f"{event} job_id=7") if shown else None)


@pytest.mark.parametrize("line", ["", "Traceback (most recent call last):", "[1]", "{"])
def test_a_line_that_is_no_log_record_is_left_to_the_file(line: str) -> None:
    """Whatever a library prints does not break the terminal."""
    assert worth_showing("gateway", line) is None


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
