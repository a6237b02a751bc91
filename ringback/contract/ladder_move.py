"""What to bind and unbind to change the retry schedule, as a pure function.

Old retry queues keep their messages: each returns to the work queue after its own delay, whether
the queue is bound or not.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ringback.contract.ladder import Ladder, routing_key
from ringback.contract.topology import FAILED, Binding

_RUNG_PREFIX = "webhooks.retry."


@dataclass(frozen=True, slots=True)
class LadderMove:
    """`unbind` comes first: two retry queues bound to one attempt copy every message."""

    unbind: tuple[Binding, ...]
    bind: tuple[Binding, ...]

    @property
    def is_done(self) -> bool:
        return not self.unbind and not self.bind


def is_rung(queue: str) -> bool:
    """Whether a queue is a retry queue, of this schedule or another."""
    return queue.startswith(_RUNG_PREFIX)


def rung_bindings(ladder: Ladder) -> tuple[Binding, ...]:
    """The bindings of a schedule's retry queues, and nothing else."""
    return tuple(
        Binding(FAILED, rung.queue_name, routing_key(rung.attempt)) for rung in ladder.rungs
    )


def ladder_move(bound: Collection[Binding], to: Ladder) -> LadderMove:
    """From the bindings of `webhooks.failed` to the schedule `to`; other queues are left alone."""
    wanted = rung_bindings(to)
    return LadderMove(
        unbind=tuple(sorted(_foreign(bound, to), key=lambda binding: binding.queue)),
        bind=tuple(binding for binding in wanted if binding not in bound),
    )


def other_ladder(bound: Collection[Binding], wanted: Ladder) -> list[str]:
    """A sentence for each bound retry queue that is not part of this schedule.

    If there is one, binding this schedule too would copy messages, or add retries.
    """
    return [
        f"The queue {binding.queue} of another ladder is bound to {binding.routing_key}."
        for binding in sorted(_foreign(bound, wanted), key=lambda binding: binding.queue)
    ]


def _foreign(bound: Collection[Binding], ladder: Ladder) -> Iterator[Binding]:
    wanted = rung_bindings(ladder)
    return (binding for binding in bound if is_rung(binding.queue) and binding not in wanted)
