"""States of the queues for tests: healthy, except for what a test sets."""

from datetime import UTC, datetime

from ringback.services.metrics.polling.queue_depths import QueueDepth
from ringback.services.metrics.polling.recent_rates import LastDay
from ringback.services.metrics.queries.queue_snapshot import (
    Processing,
    QueueState,
    Source,
    SourceName,
    Waits,
)

READ_AT = datetime(2026, 1, 27, 6, 30, tzinfo=UTC)


def queues(
    *,
    work: int = 0,
    bulk: int = 0,
    due: int = 0,
    quarantine: int = 0,
    dlq: int = 0,
    retry_queues: tuple[int, ...] = (),
    consumers: int = 1,
) -> dict[str, QueueDepth]:
    depths = {"webhooks.dlq": dlq, "webhooks.quarantine": quarantine}
    depths |= {f"webhooks.retry.{n}.2s": depth for n, depth in enumerate(retry_queues, 1)}
    found = {name: QueueDepth(depth, 1) for name, depth in depths.items()}
    consumed = {"webhooks.work": work, "webhooks.bulk": bulk, "webhooks.due": due}
    return found | {name: QueueDepth(depth, consumers) for name, depth in consumed.items()}


def processing(*, paused: bool = False, in_flight: int = 0) -> Processing:
    return Processing(
        paused=paused,
        changed_at=READ_AT if paused else None,
        changed_by="ann" if paused else None,
        reason="why not" if paused else None,
        processors=1,
        processors_paused=int(paused),
        in_flight=in_flight,
    )


def last_day(completed: int = 0, failed: int = 0, **more: int) -> LastDay:
    """`more`: the other counts, 0 if absent."""
    counts = {"dead_letters": 0, "attempts": 0, "accepted": 0} | more
    return LastDay(completed=completed, failed=failed, counted_from=READ_AT, **counts)


def state(
    depths: dict[str, QueueDepth] | None = None,
    *,
    paused: bool = False,
    in_flight: int = 0,
    completed: int = 0,
    failed: int = 0,
    unresolved: int = 0,
    waits: Waits | None = None,
) -> QueueState:
    return QueueState(
        queues=queues() if depths is None else depths,
        processing=processing(paused=paused, in_flight=in_flight),
        last_day=last_day(completed, failed),
        unresolved=unresolved,
        waits=waits or {},
        read_at=READ_AT,
        sources={name: Source(name, ok=True, read_at=READ_AT) for name in SourceName},
        unacked={},
        rates=None,
        oldest=None,
    )
