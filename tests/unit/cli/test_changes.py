"""`ringback changes` shows who changed what, when and why."""

import pytest

from ringback.metrics.v1.delivery_pb2 import Change, ChangeAction
from ringback.metrics.v1.metrics_service_pb2 import ListChangesResponse
from tests.unit.cli.command import Ringback
from tests.unit.cli.retried import DEAD, NEW, at
from tests.unit.metrics_client.scripted_service import ScriptedService, answers

RETRY = Change(
    changed_at=at(0),
    actor="anna@laptop",
    action=ChangeAction.CHANGE_ACTION_RUN_DUPLICATE,
    job_id=DEAD,
    new_job_id=NEW,
    reason="Two bookings, not one.",
)
FORCED = Change(
    changed_at=at(1),
    actor="ben",
    action=ChangeAction.CHANGE_ACTION_SET_DESTINATION,
    destination="twilio",
    details='{"destination": "twilio", "forced_state": "half_open"}',
)
PAUSE = Change(changed_at=at(2), actor="ben", action=ChangeAction.CHANGE_ACTION_PAUSE)
PAGE = ListChangesResponse(changes=[PAUSE, FORCED, RETRY], next_page_token="more")

LINES = f"""\
2026-01-27 06:30:02  pause
    by ben
2026-01-27 06:30:01  set destination  twilio half-open
    by ben
2026-01-27 06:30:00  run duplicate  {DEAD}
    by anna@laptop: Two bookings, not one.
    as {NEW}

These are the newest 3. Use --all to list all.
"""


def test_changes_fit_into_80_columns(
    service: ScriptedService, ringback: Ringback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    service.answer = answers(PAGE)

    ended = ringback("changes", "--action", "run_duplicate", "--job", DEAD, "--since", "2h")

    assert [line.rstrip() for line in ended.out.splitlines()] == LINES.splitlines()
    assert max(map(len, ended.out.splitlines())) <= 80
    [request] = service.requests
    assert (request.action, request.job_id) == (ChangeAction.CHANGE_ACTION_RUN_DUPLICATE, DEAD)
    assert request.HasField("start_time")
    assert not request.HasField("end_time")


def test_nothing_matches(service: ScriptedService, ringback: Ringback) -> None:
    service.answer = answers(ListChangesResponse())

    assert ringback("changes").out.strip() == "No changes match."
