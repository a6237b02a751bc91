import pytest

from services.metrics.queries.queue_health import checks_of
from services.metrics.queries.queue_snapshot import QueueState
from tests.unit.metrics.queries.queue_states import queues, state


@pytest.mark.parametrize(
    ("name", "given", "ok", "value", "message"),
    [
        ("waiting", state(), True, 0, "0 webhooks are waiting: fewer than 100 are healthy."),
        ("waiting", state(queues(work=1)), True, 1,
         "1 webhook is waiting: fewer than 100 are healthy."),
        ("waiting", state(queues(work=90, quarantine=9)), True, 99,
         "99 webhooks are waiting: fewer than 100 are healthy."),
        ("waiting", state(queues(work=90, quarantine=10)), False, 100,
         "100 webhooks are waiting: fewer than 100 are healthy."),
        ("waiting", state(queues(retry_queues=(100, 100))), True, 0,
         "0 webhooks are waiting: fewer than 100 are healthy."),
        ("failure_rate", state(), True, 0,
         "0.00% of the webhooks of the last 24 hours have failed: less than 5% is healthy."),
        ("failure_rate", state(completed=1247, failed=3), True, 0.0024,
         "0.24% of the webhooks of the last 24 hours have failed: less than 5% is healthy."),
        ("failure_rate", state(completed=95, failed=5), False, 0.05,
         "5.00% of the webhooks of the last 24 hours have failed: less than 5% is healthy."),
        ("failure_rate", state(completed=9501, failed=499), True, 0.0499,
         "4.99% of the webhooks of the last 24 hours have failed: less than 5% is healthy."),
        ("dead_letters", state(unresolved=1), True, 1,
         "1 dead letter is unresolved: at most 10 are healthy."),
        ("dead_letters", state(queues(dlq=4), unresolved=6), True, 10,
         "10 dead letters are unresolved: at most 10 are healthy."),
        ("dead_letters", state(queues(dlq=5), unresolved=6), False, 11,
         "11 dead letters are unresolved: at most 10 are healthy."),
        ("consumers", state(queues(consumers=1)), True, 1, "The work queue has 1 consumer."),
        ("consumers", state(queues(consumers=3)), True, 3, "The work queue has 3 consumers."),
        ("consumers", state(queues(consumers=0)), False, 0, "No processor consumes webhooks."),
        ("consumers", state(queues(consumers=0), paused=True), False, 0,
         "No processor consumes webhooks: processing is paused."),
    ],
)  # fmt: skip
def test_a_check(name: str, given: QueueState, value: float, message: str, *, ok: bool) -> None:
    """Each threshold, on both sides of it."""
    [check] = [check for check in checks_of(given) if check.name == name]

    assert check.value == pytest.approx(value)
    assert (check.ok, check.message) == (ok, message)


def test_checks_are_in_the_order_of_the_contract() -> None:
    """Including those that pass, so that a caller sees what is checked."""
    checks = checks_of(state())

    assert [check.name for check in checks] == [
        "waiting",
        "failure_rate",
        "dead_letters",
        "consumers",
    ]
    assert [check.limit for check in checks] == [100, 0.05, 10, 1]
