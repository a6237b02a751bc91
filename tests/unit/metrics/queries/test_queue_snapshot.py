from datetime import UTC, datetime, timedelta

import grpc
import pytest

from services.metrics.queries.queue_snapshot import LastDay, QueueSnapshot
from services.metrics.transport.errors import ApiError
from tests.unit.metrics.queries.queue_states import processing, queues

BEGAN = datetime(2026, 1, 27, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def wall(self) -> datetime:
        return BEGAN + timedelta(seconds=self.now_s - 100)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def snapshot(clock: Clock) -> QueueSnapshot:
    return QueueSnapshot(count_max_age_s=18, clock=clock, now=clock.wall)


def read_all(snapshot: QueueSnapshot) -> None:
    snapshot.queues_read(queues(work=3))
    snapshot.log_read(processing(), LastDay(5, 1))
    snapshot.dead_letters_counted(2)


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

    assert (state.waiting, state.dead_letters, state.last_day) == (4, 2, LastDay(5, 1))
    assert state.read_at == BEGAN


def test_there_is_no_state_before_all_parts_were_read(snapshot: QueueSnapshot) -> None:
    """A part that was never read is not 0."""
    assert away(snapshot) == "BROKER_UNAVAILABLE"
    snapshot.queues_read(queues())
    assert away(snapshot) == "DATABASE_UNAVAILABLE"
    snapshot.log_read(processing(), LastDay(0, 0))
    assert away(snapshot) == "DATABASE_UNAVAILABLE"


def test_stale_numbers_are_an_error_that_names_the_part(
    snapshot: QueueSnapshot, clock: Clock
) -> None:
    """The maximum is ten seconds; the count of dead letters has its own."""
    read_all(snapshot)
    clock.now_s += 10
    snapshot.state()

    clock.now_s += 0.1
    assert away(snapshot) == "BROKER_UNAVAILABLE"
    snapshot.queues_read(queues())
    assert away(snapshot) == "DATABASE_UNAVAILABLE"
    snapshot.log_read(processing(), LastDay(0, 0))
    snapshot.state()

    clock.now_s += 8
    snapshot.queues_read(queues())
    snapshot.log_read(processing(), LastDay(0, 0))
    assert away(snapshot) == "DATABASE_UNAVAILABLE"


def test_without_the_work_queue_nothing_was_read(snapshot: QueueSnapshot) -> None:
    """An answer without it keeps the last one; a retry queue may be absent."""
    read_all(snapshot)
    depths = queues(work=9)
    del depths["webhooks.work"]

    snapshot.queues_read(depths)
    assert snapshot.state().waiting == 3

    snapshot.queues_read(queues(work=9, due=2, retry_queues=()))
    assert snapshot.state().waiting == 11
