"""The rules of a bulk retry: its request, its speed, its progress, and when it stops."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.status import Status
from ringback.metrics.v1.admin_service_pb2 import (
    RETRY_RUN_KIND_COMPLETED,
    CreateRetryRunRequest,
    DeadLetterFilter,
    RetryDeliveriesRequest,
)
from ringback.services.metrics.commands.retry_run_rules import (
    Load,
    Match,
    RetriedWebhook,
    RetryProgress,
    RunState,
    Throttle,
    ending_of,
    next_turn,
    plan_of,
)
from ringback.services.metrics.transport.errors import ApiError

QUIET = Load(waiting=0, live_per_second=0, is_paused=False)
THROTTLE = Throttle()
RATES = st.floats(min_value=0.001, max_value=100)
IDS = [UUID(int=number) for number in range(1, 6)]
WEBHOOKS = st.builds(
    RetriedWebhook, st.sampled_from(IDS), st.sampled_from(list(Status)), st.integers(0, 5)
)


def test_absent_fields_have_the_defaults_of_the_contract() -> None:
    """The reason is stripped."""
    request = plan_of(RetryDeliveriesRequest(reason=" Fixed. "))

    assert (request.limit, request.rate_per_second, request.stop_after_failures) == (1_000, 10, 3)
    assert (request.matching, request.org_id) == (Match(), None)
    assert request.reason == "Fixed."


def test_limit_and_rate_are_capped() -> None:
    """A run is never faster or longer than the contract allows."""
    request = plan_of(
        RetryDeliveriesRequest(reason="Fixed.", limit=2_000_000, rate_per_second=5_000)
    )

    assert (request.limit, request.rate_per_second) == (100_000, 100)


@given(requested=RATES, live=st.floats(min_value=0, max_value=1e6), waiting=st.integers(0, 200))
def test_the_rate_respects_the_request_and_live_traffic(
    requested: float, live: float, waiting: int
) -> None:
    """At most half of the arrivals, but at least a little; zero while webhooks queue up."""
    rate = THROTTLE.allowed_rate(requested, Load(waiting, live, is_paused=False))

    assert rate <= requested
    assert rate <= max(THROTTLE.min_rate, live / 2)
    assert (rate == 0) == (waiting >= THROTTLE.max_waiting)


@pytest.mark.parametrize(("requested", "live", "rate"), [(100, 0, 5), (2, 0, 2), (100, 60, 30)])
def test_a_rate(requested: float, live: float, rate: float) -> None:
    """A quiet hour allows five per second, a busy one half of the arrivals."""
    assert THROTTLE.allowed_rate(requested, replace(QUIET, live_per_second=live)) == rate


@pytest.mark.parametrize(
    ("load", "unfinished", "words"),
    [
        (QUIET, 49, None),
        (replace(QUIET, is_paused=True), 0, "paused"),
        (replace(QUIET, waiting=None), 0, "does not report"),
        (replace(QUIET, broker_is_connected=False), 0, "cannot be reached"),
        (replace(QUIET, waiting=50), 0, "50 webhooks are queued"),
        (QUIET, 50, "50 retries"),
    ],
)
def test_each_reason_to_wait_is_named(load: Load, unfinished: int, words: str | None) -> None:
    """An operator sees what the run waits for."""
    reason = THROTTLE.hold_reason(load, unfinished=unfinished)

    assert reason is None if words is None else words in str(reason)


@given(last=st.floats(0, 1e6), now=st.floats(0, 1e6), rate=RATES)
def test_a_turn_is_never_early_and_never_past(last: float, now: float, rate: float) -> None:
    """Turns missed while it was paused are not made up for."""
    turn = next_turn(last, now, rate)

    assert turn >= now
    assert turn >= last + 1 / rate


REPLAY: dict[str, Any] = {
    "kind": RETRY_RUN_KIND_COMPLETED,
    "reason": "It booked the wrong day.",
    "filter": DeadLetterFilter(event_type="end-of-call-report", start_time=Timestamp(seconds=1)),
    "override_dedup": True,
}


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, []),
        ({"override_dedup": False}, ["override_dedup"]),
        ({"override_dedup": False, "reason": "", "dry_run": True}, []),
        ({"filter": None}, ["filter.event_type", "filter.start_time"]),
        ({"reason": " "}, ["reason"]),
        ({"kind": 0, "include_replays": True}, ["include_replays"]),
        ({"kind": 0, "filter": None, "override_dedup": False}, []),
    ],
)
def test_a_replay_needs_a_type_a_time_a_reason_and_the_override(
    changes: dict[str, Any], fields: list[str]
) -> None:
    """Looking needs no reason and no override."""
    request = CreateRetryRunRequest(**REPLAY | changes)
    if not fields:
        assert plan_of(request).limit == 1_000
        return
    with pytest.raises(ApiError) as caught:
        plan_of(request)
    assert [violation.field for violation in caught.value.violations] == fields


RUNNING, DONE = {"has_retried_all": False}, {"has_retried_all": True}
FINISHED, STOPPED = RunState.FINISHED, RunState.STOPPED


@pytest.mark.parametrize(
    ("state", "fields", "ending"),
    [
        (RunState.RUNNING, RUNNING, None),
        (RunState.PAUSED, RUNNING | {"stop_after": 1}, None),
        (RunState.PAUSED, DONE | {"is_settled": True}, None),
        (RunState.PAUSED, RUNNING | {"is_abandoned": True}, STOPPED),
        (RunState.STOPPING, DONE | {"is_settled": True}, STOPPED),
        (RunState.HELD, RUNNING | {"stop_after": 1}, STOPPED),
        (RunState.HELD, DONE, None),
        (RunState.HELD, DONE | {"is_settled": True, "stop_after": 1}, FINISHED),
    ],
)
def test_the_end_of_a_run(state: RunState, fields: dict[str, Any], ending: RunState | None) -> None:
    """A person's decision comes first; a paused run stays paused."""
    progress = RetryProgress()
    progress.add(IDS[0])
    progress.update([RetriedWebhook(IDS[0], Status.FAILED, 1)])
    rest: dict[str, Any] = {"stop_after": 2, "is_abandoned": False, "is_settled": False} | fields

    found = ending_of(state, progress, **rest)

    assert (found and found.state) == ending


@pytest.mark.parametrize(
    ("status", "attempts", "has_ended", "has_failed"),
    [
        (Status.PENDING, 0, False, False),
        (Status.PROCESSING, 0, False, False),
        (Status.PROCESSING, 1, False, True),
        (Status.FAILED, 1, False, True),
        (Status.COMPLETED, 1, True, False),
        (Status.COMPLETED, 2, True, True),
        (Status.DUPLICATE, 1, True, False),
        (Status.DEAD_LETTER, 0, True, True),
        (Status.DEAD_LETTER, 4, True, True),
    ],
)
def test_the_state_of_a_retried_webhook(
    status: Status, attempts: int, *, has_ended: bool, has_failed: bool
) -> None:
    """A failed attempt counts even if a later one succeeded; it is no final result."""
    webhook = RetriedWebhook(IDS[0], status, attempts)

    assert (webhook.has_ended, webhook.has_failed) == (has_ended, has_failed)


@given(st.lists(st.lists(WEBHOOKS)))
def test_each_webhook_counts_once_however_often_it_is_read(
    readings: list[list[RetriedWebhook]],
) -> None:
    """The completed, the failed and the unfinished are never more than were retried."""
    progress = RetryProgress()
    for new_id in IDS[:4]:
        progress.add(new_id)

    for webhooks in readings:
        progress.update(webhooks)

    assert progress.retried == 4
    assert progress.completed + len(progress.unfinished) <= 4
    assert progress.failed_again <= 4
    assert progress.unfinished <= frozenset(IDS[:4])


def test_a_failure_before_a_success_counts_as_both() -> None:
    """A run that stops after failures must not forget them."""
    progress = RetryProgress()
    progress.add(IDS[0])

    progress.update([RetriedWebhook(IDS[0], Status.FAILED, 1)])
    progress.update([RetriedWebhook(IDS[0], Status.COMPLETED, 2)])

    counts = progress.completed, progress.failed_again, progress.unfinished
    assert counts == (1, 1, frozenset())
