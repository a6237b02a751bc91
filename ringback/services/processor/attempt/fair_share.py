"""Decides which queue is next, and whose webhooks must not take more slots.

No I/O and no clock: the caller passes the time.
"""

import math
from collections import Counter
from collections.abc import Hashable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from uuid import UUID

from ringback.contract.envelope import Envelope
from ringback.services.processor.attempt.policy import SourceQueue

TURNS_IN_A_ROW = 4
"""After so many due retries in a row, a first attempt that waits is next; after so many from the
work queue, one from the bulk queue.
"""

SHARE_PERCENT = 60
"""How many of the slots one org may have, or one destination, while others are active."""

WAITING_PERCENT = 20
"""How much of the prefetch of a queue an org may fill with webhooks that must wait."""

ACTIVE_S = 60.0
"""How long another org counts as active after its last webhook.

Long enough that a slot is free when the next one comes: a slot whose destination hangs is not
returned for the whole timeout of the attempt, and meanwhile no webhook of the others may arrive.
"""

STUCK_S = 0.1
"""If the slots of an org do not change for so long, its excess no longer waits in memory."""

HANGS_S = 5.0
"""If they do not change for so long, it is not only slow."""


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """A webhook that needs a slot. Its destination is None if the message does not name one."""

    source: SourceQueue
    org_id: UUID
    destination: str | None = None

    @property
    def holders(self) -> tuple[Hashable, ...]:
        """What the slot counts against: the org, and the destination if there is one."""
        return (self.org_id,) if self.destination is None else (self.org_id, self.destination)


def slot_request(source: SourceQueue, envelope: Envelope) -> SlotRequest:
    """Only the message of a forward names its destination."""
    forward = envelope.forward and f"{envelope.endpoint_id}/{envelope.forward}"
    return SlotRequest(source, envelope.org_id, forward)


def next_queue(
    waiting: AbstractSet[SourceQueue], *, due_turns: int, work_turns: int
) -> SourceQueue:
    """The queue whose webhook is next, after so many turns in a row; `waiting` is not empty.

    Due retries come first, but a flood of them must not stop first attempts. After four
    of the work queue, one of the bulk queue is next. An empty queue is passed over.
    """
    first_waits = not waiting.isdisjoint((SourceQueue.WORK, SourceQueue.BULK))
    if SourceQueue.DUE in waiting and not (first_waits and due_turns >= TURNS_IN_A_ROW):
        return SourceQueue.DUE
    bulk_waits = SourceQueue.BULK in waiting
    if SourceQueue.WORK in waiting and not (bulk_waits and work_turns >= TURNS_IN_A_ROW):
        return SourceQueue.WORK
    return SourceQueue.BULK if bulk_waits else SourceQueue.DUE


@dataclass(frozen=True, slots=True)
class Blocked:
    """A webhook must not have a slot until then, unless its org returns one before.

    `park_at_s` is infinite if it may wait in memory.
    """

    park_at_s: float
    until_s: float
    hangs: bool = False
    """Whether its org hangs or sends too much, and is not only slow for a moment."""


@dataclass(slots=True)
class _Use:
    """What an org or a destination uses: slots, and places in the prefetch of each queue.

    `waiting` are the places of webhooks without a slot.
    """

    slots: int = 0
    changed_at_s: float = 0.0
    places: Counter[SourceQueue] = field(default_factory=Counter)
    waiting: Counter[SourceQueue] = field(default_factory=Counter)


_PARKED = frozenset({SourceQueue.WORK, SourceQueue.DUE})
"""In the bulk queue all orgs are above their rate: parking would move the whole flood."""


class _LastSeen:
    """The last two different values, and when each was last seen."""

    def __init__(self) -> None:
        self._last: Hashable = None
        self._last_at_s = self._other_at_s = -math.inf

    def see(self, value: Hashable, now_s: float) -> None:
        if value != self._last:
            self._last, self._other_at_s = value, self._last_at_s
        self._last_at_s = now_s

    def other_than(self, value: Hashable) -> float:
        """When a value other than this one was last seen."""
        return self._other_at_s if value == self._last else self._last_at_s


class Shares:
    """Counts what each org and each destination uses, of `slots` and `prefetch`.

    While others are active, each may have SHARE_PERCENT of the slots. A webhook above that is
    blocked. It is parked if its org returns no slot, and uses much of a queue's prefetch:
    otherwise the webhooks of others would not be delivered, or only a few at once.
    """

    def __init__(self, *, slots: int, prefetch: int) -> None:
        # Of more slots than the prefetch, one queue alone could never fill the share.
        self._max_slots = max(1, min(slots, prefetch) * SHARE_PERCENT // 100)
        self._max_places = max(1, prefetch * SHARE_PERCENT // 100)
        self._max_waiting = max(1, prefetch * WAITING_PERCENT // 100)
        self._uses: dict[Hashable, _Use] = {}
        self._seen = _LastSeen(), _LastSeen()
        """The orgs and the destinations."""

    def arrived(self, request: SlotRequest, now_s: float) -> None:
        orgs, destinations = self._seen
        orgs.see(request.org_id, now_s)
        destinations.see(request.destination, now_s)
        for holder in request.holders:
            use = self._uses.get(holder)
            if use is None:
                use = self._uses[holder] = _Use()
            use.places[request.source] += 1
            use.waiting[request.source] += 1

    def left(self, request: SlotRequest) -> None:
        for holder in request.holders:
            use = self._uses[holder]
            use.waiting[request.source] -= 1
            use.places[request.source] -= 1
            if not use.places[request.source]:
                del use.places[request.source]
            if not use.places:
                del self._uses[holder]

    def took_slot(self, request: SlotRequest, now_s: float) -> None:
        self._change_slots(request, 1, now_s)

    def returned_slot(self, request: SlotRequest, now_s: float) -> None:
        self._change_slots(request, -1, now_s)

    def _change_slots(self, request: SlotRequest, change: int, now_s: float) -> None:
        for holder in request.holders:
            use = self._uses[holder]
            use.slots += change
            use.waiting[request.source] -= change
            use.changed_at_s = now_s

    def blocked(self, request: SlotRequest, now_s: float) -> Blocked | None:
        """Whether and why a webhook that has arrived must not have a slot."""
        found = None
        for number, holder in enumerate(request.holders):
            use = self._uses[holder]
            if use.slots < self._max_slots:
                continue
            until_s = self._seen[number].other_than(holder) + ACTIVE_S
            if until_s <= now_s:
                continue
            is_excess = (
                use.places[request.source] > self._max_places
                or use.waiting[request.source] > self._max_waiting
            )
            can_be_parked = is_excess and request.source in _PARKED
            at_s = use.changed_at_s + STUCK_S if can_be_parked else math.inf
            if found is None or at_s < found.park_at_s:
                hangs = now_s - use.changed_at_s >= HANGS_S or SourceQueue.BULK in use.places
                found = Blocked(at_s, until_s, hangs)
        return found
