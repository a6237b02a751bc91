"""What to bind and unbind to change the retry schedule, as a pure function.

Old retry queues keep their messages: each returns to the work queue after its own delay, whether
the queue is bound or not.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ringback.contract.retry_schedule import RetrySchedule, routing_key
from ringback.contract.topology import FAILED, Binding

_RETRY_QUEUE_PREFIX = "webhooks.retry."


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    """`unbind` comes first: two retry queues bound to one attempt copy every message."""

    unbind: tuple[Binding, ...]
    bind: tuple[Binding, ...]

    @property
    def is_done(self) -> bool:
        return not self.unbind and not self.bind


def is_retry_queue(queue: str) -> bool:
    """Whether a queue is a retry queue, of this schedule or another."""
    return queue.startswith(_RETRY_QUEUE_PREFIX)


def retry_queue_bindings(schedule: RetrySchedule) -> tuple[Binding, ...]:
    """The bindings of a schedule's retry queues, and nothing else."""
    return tuple(
        Binding(FAILED, retry_queue.queue_name, routing_key(retry_queue.attempt))
        for retry_queue in schedule.retry_queues
    )


def schedule_change(bound: Collection[Binding], to: RetrySchedule) -> ScheduleChange:
    """From the bindings of `webhooks.failed` to the schedule `to`; other queues are left alone."""
    wanted = retry_queue_bindings(to)
    return ScheduleChange(
        unbind=tuple(sorted(_foreign(bound, to), key=lambda binding: binding.queue)),
        bind=tuple(binding for binding in wanted if binding not in bound),
    )


def foreign_retry_queues(bound: Collection[Binding], wanted: RetrySchedule) -> list[str]:
    """A sentence for each bound retry queue that is not part of this schedule.

    If there is one, binding this schedule too would copy messages, or add retries.
    """
    return [
        f"The queue {binding.queue} of another retry schedule is bound to {binding.routing_key}."
        for binding in sorted(_foreign(bound, wanted), key=lambda binding: binding.queue)
    ]


def _foreign(bound: Collection[Binding], schedule: RetrySchedule) -> Iterator[Binding]:
    wanted = retry_queue_bindings(schedule)
    return (binding for binding in bound if is_retry_queue(binding.queue) and binding not in wanted)
