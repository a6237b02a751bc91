"""Every exchange, queue and binding, as data.

    webhooks ─attempt.1──────▶ webhooks.work ─┐
       ▲  ├───attempt.1.bulk─▶ webhooks.bulk ─┤
       │  └───attempt.<n>────▶ webhooks.due ──┴▶ webhooks.failed ─attempt.<n>─▶ retry queue n
       │                                 rejected             │ no retry queue left        │ TTL
       └──────────────────────── attempt.<n+1> ───────────────┼────────────────────────────┘
                                                              ▼
                                webhooks.quarantine ──▶ webhooks.dead ──▶ webhooks.dlq

    webhooks.requeued ──message's TTL──▶ webhooks.due

Retry queue n is the retry queue of attempt n. It has no length limit: the broker's dead-letter
worker serves all retry queues of a source, and one that refuses a message blocks them all.
Delays of more than 30 s have no queue: those webhooks wait in PostgreSQL, and a processor publishes
them as attempt.<n+1>.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ringback.contract.retry_schedule import (
    BULK_KEY,
    FIRST_ATTEMPT,
    MAX_RETRIES,
    Attempt,
    RetrySchedule,
    RetryStep,
    routing_key,
)

WEBHOOKS = "webhooks"
FAILED = "webhooks.failed"
DEAD = "webhooks.dead"
WORK_QUEUE = "webhooks.work"
"""First attempts."""

BULK_QUEUE = "webhooks.bulk"
"""First attempts of orgs that send more than their rate."""

DUE_QUEUE = "webhooks.due"
"""Webhooks whose wait is over: retries and requeued ones. They do not wait behind a backlog."""

QUARANTINE_QUEUE = "webhooks.quarantine"
ATTEMPT_QUEUES = (WORK_QUEUE, BULK_QUEUE, DUE_QUEUE, QUARANTINE_QUEUE)
"""The queues whose webhooks are attempted."""

DEAD_LETTER_QUEUE = "webhooks.dlq"
REQUEUED_QUEUE = "webhooks.requeued"
"""Messages that a processor returned without an attempt wait here, each for its own time."""

REQUEUED_KEY = "attempt.requeued"
"""Routing key for the way back from `webhooks.requeued`. A header contains the attempt."""

DEFAULT_EXCHANGE = ""
"""Its routing keys are queue names."""

WORK_DELIVERY_LIMIT = 100
"""Deliberately high.

A message that the limit dead-letters into a retry queue comes back without a rejection in its
cycle, and the broker then never delivers it.
"""

QUARANTINE_DELIVERY_LIMIT = 3

Arguments = Mapping[str, str | int | bool]


def _arguments(**values: str | int | bool) -> Arguments:
    return MappingProxyType({name.replace("_", "-"): value for name, value in values.items()})


@dataclass(frozen=True, slots=True)
class Exchange:
    name: str
    kind: str
    arguments: Arguments = field(default_factory=_arguments)


@dataclass(frozen=True, slots=True)
class Queue:
    name: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Binding:
    exchange: str
    queue: str
    routing_key: str = ""


WORK_BINDING = Binding(WEBHOOKS, WORK_QUEUE, routing_key(FIRST_ATTEMPT))
"""Routes accepted webhooks and manual retries to their first attempt."""

BULK_BINDING = Binding(WEBHOOKS, BULK_QUEUE, BULK_KEY)
"""Routes accepted webhooks of orgs above their rate to their first attempt."""

DUE_BINDINGS = (
    *(
        Binding(WEBHOOKS, DUE_QUEUE, routing_key(Attempt(number)))
        for number in range(FIRST_ATTEMPT + 1, MAX_RETRIES + 2)
    ),
    Binding(WEBHOOKS, DUE_QUEUE, REQUEUED_KEY),
)
"""One binding for each attempt that any schedule can have, because a pattern cannot exclude the
first attempt. So a change of the schedule does not touch these bindings.
"""


@dataclass(frozen=True, slots=True)
class Topology:
    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]
    obsolete_bindings: tuple[Binding, ...] = ()
    """Bindings of an earlier version, to be removed after the others exist.

    Until then a retry reaches two queues. The log makes one attempt of the two, whereas a retry
    without a binding would be dead-lettered.
    """


_AS_FIRST_ATTEMPT = {"x_dead_letter_routing_key": routing_key(FIRST_ATTEMPT)}
"""Retry queues are bound to attempts, and not to the routing key of the bulk queue."""


def topology(schedule: RetrySchedule) -> Topology:
    """Everything that must exist on the broker for this schedule, in the order of declaration."""
    return Topology(
        exchanges=(
            Exchange(DEAD, "fanout"),
            Exchange(FAILED, "direct", _arguments(alternate_exchange=DEAD)),
            Exchange(WEBHOOKS, "topic", _arguments(alternate_exchange=DEAD)),
        ),
        queues=(
            Queue(DEAD_LETTER_QUEUE, _arguments(x_queue_type="quorum")),
            _dead_lettering(
                QUARANTINE_QUEUE,
                DEAD,
                limit=QUARANTINE_DELIVERY_LIMIT,
                x_single_active_consumer=True,
            ),
            *(_retry_queue_of(retry_queue) for retry_queue in schedule.retry_queues),
            Queue(REQUEUED_QUEUE, _waiting(WEBHOOKS, REQUEUED_KEY)),
            *(
                _dead_lettering(name, FAILED, limit=WORK_DELIVERY_LIMIT)
                for name in (DUE_QUEUE, WORK_QUEUE)
            ),
            _dead_lettering(BULK_QUEUE, FAILED, limit=WORK_DELIVERY_LIMIT, **_AS_FIRST_ATTEMPT),
        ),
        bindings=(
            Binding(DEAD, DEAD_LETTER_QUEUE),
            *(
                Binding(FAILED, retry_queue.queue_name, routing_key(retry_queue.attempt))
                for retry_queue in schedule.retry_queues
            ),
            WORK_BINDING,
            BULK_BINDING,
            *DUE_BINDINGS,
        ),
        obsolete_bindings=(Binding(WEBHOOKS, WORK_QUEUE, "attempt.*"),),
    )


def accepting_topology() -> Topology:
    """What accepting webhooks needs: the exchange they go to, and the queues they wait in."""
    whole = topology(RetrySchedule(()))
    return Topology(
        exchanges=tuple(one for one in whole.exchanges if one.name == WEBHOOKS),
        queues=tuple(one for one in whole.queues if one.name in {WORK_QUEUE, BULK_QUEUE}),
        bindings=(WORK_BINDING, BULK_BINDING),
    )


def republishing_topology() -> Topology:
    """Without these, a processor publishes nothing; without another one, only what goes there."""
    whole = topology(RetrySchedule(()))
    return Topology(
        exchanges=tuple(one for one in whole.exchanges if one.name in {DEAD, WEBHOOKS}),
        queues=tuple(one for one in whole.queues if one.name in {QUARANTINE_QUEUE, DUE_QUEUE}),
        bindings=(),
    )


def _dead_lettering(name: str, exchange: str, *, limit: int, **more: str | bool) -> Queue:
    return Queue(
        name,
        _arguments(
            x_queue_type="quorum",
            x_dead_letter_exchange=exchange,
            x_dead_letter_strategy="at-least-once",
            x_overflow="reject-publish",
            x_delivery_limit=limit,
            **more,
        ),
    )


def _retry_queue_of(retry_queue: RetryStep) -> Queue:
    next_key = routing_key(Attempt(retry_queue.attempt + 1))
    return Queue(
        retry_queue.queue_name, _waiting(WEBHOOKS, next_key, x_message_ttl=retry_queue.delay_ms)
    )


def _waiting(exchange: str, key: str, **ttl: int) -> Arguments:
    return _arguments(
        x_queue_type="quorum",
        **ttl,
        x_dead_letter_exchange=exchange,
        x_dead_letter_routing_key=key,
        x_dead_letter_strategy="at-least-once",
        x_overflow="reject-publish",
    )


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
    """Bound retry queues that are not part of this schedule.

    One of an attempt whose delay is a wait now is harmless, and must stay bound: a processor that
    does not have this schedule yet still rejects into it, and without it, it would dead-letter.
    """
    wanted = {
        *retry_queue_bindings(schedule),
        *(binding for binding in bound if binding.routing_key in _keys_of_waits(schedule)),
    }
    return (binding for binding in bound if is_retry_queue(binding.queue) and binding not in wanted)


def _keys_of_waits(schedule: RetrySchedule) -> set[str]:
    queued = {step.attempt for step in schedule.retry_queues}
    return {routing_key(step.attempt) for step in schedule.steps if step.attempt not in queued}
