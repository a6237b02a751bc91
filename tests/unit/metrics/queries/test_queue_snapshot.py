from datetime import UTC, datetime, timedelta

import grpc
import pytest

from ringback.services.metrics.queries.queue_health import health_of
from ringback.services.metrics.queries.queue_snapshot import Oldest, QueueSnapshot
from ringback.services.metrics.transport.errors import ApiError
from tests.unit.clock import Clock
from tests.unit.metrics.queries.queue_states import last_day, processing, queues

BEGAN = datetime(2026, 1, 27, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def snapshot(clock: Clock) -> QueueSnapshot:
    return QueueSnapshot(
        count_max_age_s=18,
        has_management_api=True,
        clock=clock,
        now=lambda: BEGAN + timedelta(seconds=clock.now_s - 100),
    )


def read_all(snapshot: QueueSnapshot) -> None:
    snapshot.queues_read(queues(work=3))
    snapshot.log_read(processing(), last_day(5, 1))
    snapshot.dead_letters_counted(2)
    snapshot.waits_counted({})


def away(snapshot: QueueSnapshot) -> str:
    with pytest.raises(ApiError) as caught:
        snapshot.state()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    return caught.value.reason


def test_a_snapshot_contains_the_last_readings(snapshot: QueueSnapshot, clock: Clock) -> None:
    """With the time of the oldest part."""
    read_all(snapshot)
    clock.now_s += 2
    snapshot.queues_read(queues(work=4))

    state = snapshot.state()

    assert (state.waiting, state.dead_letters, state.last_day) == (4, 2, last_day(5, 1))
    assert state.read_at == BEGAN


def test_there_is_no_state_before_all_parts_were_read(snapshot: QueueSnapshot) -> None:
    """A part that was never read is not 0."""
    assert away(snapshot) == "BROKER_UNAVAILABLE"
    snapshot.queues_read(queues())
    assert away(snapshot) == "DATABASE_UNAVAILABLE"
    snapshot.log_read(processing(), last_day(0, 0))
    assert away(snapshot) == "DATABASE_UNAVAILABLE"
    snapshot.dead_letters_counted(0)
    assert away(snapshot) == "DATABASE_UNAVAILABLE"


def test_stale_numbers_are_an_error_that_names_the_part(
    snapshot: QueueSnapshot, clock: Clock
) -> None:
    """The maximum is ten seconds; the counts of dead letters and waits have their own."""
    read_all(snapshot)
    clock.now_s += 10
    snapshot.state()

    clock.now_s += 0.1
    assert away(snapshot) == "BROKER_UNAVAILABLE"
    snapshot.queues_read(queues())
    assert away(snapshot) == "DATABASE_UNAVAILABLE"
    snapshot.log_read(processing(), last_day(0, 0))
    snapshot.state()

    clock.now_s += 8
    snapshot.queues_read(queues())
    snapshot.log_read(processing(), last_day(0, 0))
    assert away(snapshot) == "DATABASE_UNAVAILABLE"


def test_a_stale_state_has_the_last_numbers_of_each_source(
    snapshot: QueueSnapshot, clock: Clock
) -> None:
    """With what is away and since when; a check without recent numbers is left out."""
    read_all(snapshot)
    snapshot.ages_read(Oldest(pending_s=60, failed_s=0))
    snapshot.unacked_read({"webhooks.work": 2})
    clock.now_s += 20
    snapshot.queues_read(queues(work=7))

    health = health_of(snapshot.state(allow_stale=True))

    sources = {one.name: (one.ok, one.read_at.ToJsonString()) for one in health.sources}
    assert sources == {
        "broker": (True, "2026-01-27T00:00:20Z"),
        "database": (False, "2026-01-27T00:00:00Z"),
        "management_api": (False, "2026-01-27T00:00:00Z"),
    }
    assert not health.healthy
    assert [check.name for check in health.checks] == ["waiting", "consumers"]
    assert (health.metrics.waiting, health.metrics.completed, health.dead_letters) == (7, 5, 2)
    assert health.oldest.pending_s == 60
    assert not any(queue.HasField("unacknowledged") for queue in health.queues)


def test_what_was_never_read_is_absent(snapshot: QueueSnapshot) -> None:
    """Also in a state that may be stale; the queues are there without the database."""
    nothing = health_of(snapshot.state(allow_stale=True))
    snapshot.queues_read(queues(work=7))
    only_queues = health_of(snapshot.state(allow_stale=True))

    absent = {"metrics", "stats", "processing", "waits", "rates", "oldest"}
    for health in (nothing, only_queues):
        assert {field.name for field, _ in health.ListFields()}.isdisjoint(absent)
    assert not nothing.HasField("timestamp")
    assert not any(source.HasField("read_at") for source in nothing.sources)
    assert {queue.queue: queue.messages for queue in only_queues.queues}["webhooks.work"] == 7


def test_health_does_not_need_the_management_api(snapshot: QueueSnapshot) -> None:
    """It is named, and the numbers of unacknowledged messages come with it."""
    read_all(snapshot)
    snapshot.log_read(processing(), last_day(5))
    without = health_of(snapshot.state())
    snapshot.unacked_read({"webhooks.work": 2})
    work = {queue.queue: queue for queue in health_of(snapshot.state()).queues}["webhooks.work"]

    assert without.healthy
    assert [source.name for source in without.sources if not source.ok] == ["management_api"]
    assert work.unacknowledged == 2


def test_without_the_work_queue_nothing_was_read(snapshot: QueueSnapshot) -> None:
    """An answer without it keeps the last one; a retry queue may be absent."""
    read_all(snapshot)
    depths = queues(work=9)
    del depths["webhooks.work"]

    snapshot.queues_read(depths)
    assert snapshot.state().waiting == 3

    snapshot.queues_read(queues(work=9, due=2, retry_queues=()))
    assert snapshot.state().waiting == 11
