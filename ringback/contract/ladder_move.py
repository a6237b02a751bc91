"""What to bind and to unbind so that failed attempts climb another ladder. A function of values.

Old rungs keep their messages: each goes on to the work queue by its own delay, bound or not.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ringback.contract.ladder import Ladder, routing_key
from ringback.contract.topology import FAILED, Binding

_RUNG_PREFIX = "webhooks.retry."


@dataclass(frozen=True, slots=True)
class LadderMove:
    """`unbind` comes first: two rungs bound to one attempt copy every message."""

    unbind: tuple[Binding, ...]
    bind: tuple[Binding, ...]

    @property
    def is_done(self) -> bool:
        return not self.unbind and not self.bind


def is_rung(queue: str) -> bool:
    """Whether a queue is a rung, of this ladder or of another."""
    return queue.startswith(_RUNG_PREFIX)


def rung_bindings(ladder: Ladder) -> tuple[Binding, ...]:
    """What binds the rungs of a ladder, and nothing else."""
    return tuple(
        Binding(FAILED, rung.queue_name, routing_key(rung.attempt)) for rung in ladder.rungs
    )


def ladder_move(bound: Collection[Binding], to: Ladder) -> LadderMove:
    """From what is bound to `webhooks.failed` to the ladder `to`; other queues are left alone."""
    wanted = rung_bindings(to)
    return LadderMove(
        unbind=tuple(sorted(_foreign(bound, to), key=lambda binding: binding.queue)),
        bind=tuple(binding for binding in wanted if binding not in bound),
    )


def other_ladder(bound: Collection[Binding], wanted: Ladder) -> list[str]:
    """A sentence for each rung that is bound and is none of this ladder; empty: none is.

    Where there is one, to bind this ladder beside it would copy messages, or lengthen the ladder.
    """
    return [
        f"The queue {binding.queue} of another ladder is bound to {binding.routing_key}."
        for binding in sorted(_foreign(bound, wanted), key=lambda binding: binding.queue)
    ]


def _foreign(bound: Collection[Binding], ladder: Ladder) -> Iterator[Binding]:
    wanted = rung_bindings(ladder)
    return (binding for binding in bound if is_rung(binding.queue) and binding not in wanted)
