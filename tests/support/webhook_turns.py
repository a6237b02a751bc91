"""The turns of ordered webhooks as pure Python, and a simulated Ringback that uses them.

`ModelTurns` is what the functions of 0011_order.sql must do for the webhooks of one key. `World`
delivers, fails, crashes, copies and releases webhooks in any order, and checks after each step what
is promised.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from ringback.contract.status import AttemptOutcome

MAX_ATTEMPTS = 3


class Message(NamedTuple):
    """A message of the broker. The number of a webhook stands for its job id, and sorts like it."""

    webhook: int
    attempt: int


class Begin(StrEnum):
    """What a processor does with a message whose attempt has no outcome yet."""

    RUN = "run"
    PARKED = "parked"


class Turns(Protocol):
    """The log and the turns of one key."""

    def write_row(self, webhook: int) -> None:
        """The gateway writes the pending row of a webhook that it has accepted."""

    def begin(self, message: Message) -> Begin | AttemptOutcome:
        """Take the turn of a webhook, or park it. A recorded outcome is returned instead."""

    def finish(self, message: Message, outcome: AttemptOutcome) -> tuple[AttemptOutcome, bool]:
        """Record an attempt. Returns the recorded outcome, and whether this call recorded it."""

    def dead_letter(self, message: Message) -> None:
        """Record a dead letter."""

    def lease(self) -> list[Message]:
        """The parked webhooks that a sweeper publishes next."""

    def delete_leased(self) -> None:
        """Delete those that were leased and published, unless they were parked again."""

    def expire_leases(self) -> None:
        """The sweeper died."""

    def pass_on(self) -> int | None:
        """The webhook whose turn it is comes no more: give its turn to the next. Returns it."""

    def holder(self) -> int | None:
        """The webhook that has the turn."""

    def is_empty(self) -> bool:
        """Whether no webhook is parked and none has a turn."""


@dataclass
class Turn:
    """Whose turn it is. `is_late`: others went first, so it does not stop them while it waits."""

    webhook: int
    is_late: bool


@dataclass
class Parked:
    attempt: int
    is_due: bool = False
    is_leased: bool = False


class ModelTurns:
    def __init__(self) -> None:
        self.turn: Turn | None = None
        self.parked: dict[int, Parked] = {}
        self.recorded: dict[Message, AttemptOutcome] = {}
        self.completed: set[int] = set()
        self.dead: set[int] = set()
        self.is_pending: dict[int, bool] = {}

    def write_row(self, webhook: int) -> None:
        self.is_pending.setdefault(webhook, True)

    def _on_its_way(self, before: int) -> int | None:
        """The first of the webhooks directly before this one that all are pending."""
        found = None
        for webhook in sorted((w for w in self.is_pending if w < before), reverse=True):
            if not self.is_pending[webhook]:
                break
            found = webhook
        return found

    def begin(self, message: Message) -> Begin | AttemptOutcome:
        known = self.recorded.get(message)
        if known is None and message.webhook in self.completed:
            known = AttemptOutcome.COMPLETED
        if known is not None:
            return known
        if not self._take(message):
            self._park(message)
            return Begin.PARKED
        self.parked.pop(message.webhook, None)
        self.is_pending[message.webhook] = False
        return Begin.RUN

    def _park(self, message: Message) -> None:
        """A row that exists stays, unless its message is being published, or has been."""
        before = self.parked.get(message.webhook)
        if before is None or before.is_leased or before.attempt < message.attempt:
            self.parked[message.webhook] = Parked(message.attempt)
        ended = {m.webhook for m in self.recorded} | self.dead
        self.is_pending[message.webhook] = message.webhook not in ended

    def _take(self, message: Message) -> bool:
        if self.turn is None:
            self.turn = Turn(message.webhook, is_late=message.attempt > 1)
            earlier = self._on_its_way(message.webhook)
            if earlier is not None:
                self.turn = Turn(earlier, is_late=False)
        return self.turn.webhook == message.webhook

    def finish(self, message: Message, outcome: AttemptOutcome) -> tuple[AttemptOutcome, bool]:
        if message in self.recorded:
            return self.recorded[message], False
        self.recorded[message] = outcome
        self.is_pending[message.webhook] = False
        if outcome is AttemptOutcome.COMPLETED:
            self.completed.add(message.webhook)
        turn = self.turn
        is_late = turn is not None and turn.webhook == message.webhook and turn.is_late
        if outcome is not AttemptOutcome.FAILED or is_late:
            self._end(message.webhook)
        return outcome, True

    def dead_letter(self, message: Message) -> None:
        self.dead.add(message.webhook)
        self.is_pending[message.webhook] = False
        self._end(message.webhook)

    def _end(self, webhook: int) -> None:
        self.parked.pop(webhook, None)
        if self.turn is not None and self.turn.webhook == webhook:
            self._give_turn()

    def _give_turn(self, *, waits_for_earlier: bool = True) -> None:
        if not self.parked:
            self.turn = None
            return
        first = min(self.parked)
        earlier = self._on_its_way(first) if waits_for_earlier else None
        if earlier is not None:
            self.turn = Turn(earlier, is_late=False)
            return
        self.parked[first].is_due = True
        self.turn = Turn(first, is_late=self.parked[first].attempt > 1)

    def lease(self) -> list[Message]:
        due = {
            webhook: parked
            for webhook, parked in self.parked.items()
            if parked.is_due and not parked.is_leased
        }
        for parked in due.values():
            parked.is_leased = True
        return [Message(webhook, parked.attempt) for webhook, parked in sorted(due.items())]

    def delete_leased(self) -> None:
        self.parked = {w: parked for w, parked in self.parked.items() if not parked.is_leased}

    def expire_leases(self) -> None:
        for parked in self.parked.values():
            parked.is_leased = False

    def pass_on(self) -> int | None:
        turn = self.turn
        if turn is None or turn.webhook in self.parked or not self.parked:
            return None
        self._give_turn(waits_for_earlier=False)
        return turn.webhook

    def holder(self) -> int | None:
        return None if self.turn is None else self.turn.webhook

    def is_empty(self) -> bool:
        return self.turn is None and not self.parked


@dataclass
class World:
    """The broker, the processors, and what happened. `choose` makes every decision."""

    turns: Turns
    choose: Callable[[Sequence[Any]], Any]
    arriving: list[int]
    """Webhooks that have not been accepted, in the order in which they will be."""
    queue: list[Message] = field(default_factory=list)
    retrying: list[Message] = field(default_factory=list)
    dead_letters: list[Message] = field(default_factory=list)
    running: list[Message] = field(default_factory=list)
    written: set[int] = field(default_factory=set)
    """Webhooks whose rows the gateway has written."""
    arrived: set[int] = field(default_factory=set)
    begun: set[int] = field(default_factory=set)
    passed: set[int] = field(default_factory=set)
    over: set[int] = field(default_factory=set)
    recorded: set[Message] = field(default_factory=set)
    effects: list[int] = field(default_factory=list)
    holder: int | None = None

    def step(self) -> None:
        """Let one thing happen."""
        possible: list[Callable[[], None]] = [self.sweep, self.delete_published, self.kill_sweeper]
        if self.arriving:
            possible += [self.accept] * 2
        if self.queue:
            possible += [self.deliver] * 3 + [self.copy]
        if self.running:
            possible += [self.end] * 3 + [self.crash]
        if self.retrying:
            possible.append(self.expire)
        if self.dead_letters:
            possible.append(self.record_dead_letter)
        if not self._is_turn_running():
            possible.append(self.pass_on)
        self.choose(possible)()

    def drain(self) -> None:
        """Let everything end without further failures, and check that it did."""
        while self.arriving:
            self.accept()
        self.delete_published()
        self.turns.expire_leases()
        for _ in range(1_000):  # more than any run needs
            self.sweep()
            self.delete_published()
            if self.running:
                message = self.running.pop()
                self._settle(message, self._finish(message, AttemptOutcome.COMPLETED))
            elif self.retrying:
                self.expire()
            elif self.dead_letters:
                self._record_dead_letter(self.dead_letters.pop())
            elif self.queue:
                self._begin(self.queue.pop(0))
            else:
                break
        assert self.turns.is_empty(), "A webhook is parked, or has a turn, and nothing will come."
        assert self.over == self.arrived, "A webhook is lost."

    def accept(self) -> None:
        """A gateway accepts a webhook. It may fail to write its row."""
        webhook = self.arriving.pop(0)
        if self.choose([True, False]):
            self.turns.write_row(webhook)
            self.written.add(webhook)
        self.queue.append(Message(webhook, 1))

    def copy(self) -> None:
        self.queue.append(self.choose(self.queue))

    def deliver(self) -> None:
        message = self._take_from(self.queue)
        if not self._begin(message) and self.choose([False, True]):
            # The process died before it acknowledged the message.
            self.queue.append(message)

    def end(self) -> None:
        message = self._take_from(self.running)
        outcomes = [AttemptOutcome.COMPLETED, AttemptOutcome.FAILED, AttemptOutcome.PERMANENT]
        recorded = self._finish(message, self.choose(outcomes))
        if self.choose([False, False, True]):
            self.queue.append(message)  # as above
        else:
            self._settle(message, recorded)

    def crash(self) -> None:
        self.queue.append(self._take_from(self.running))

    def expire(self) -> None:
        message = self._take_from(self.retrying)
        self.queue.append(message._replace(attempt=message.attempt + 1))

    def record_dead_letter(self) -> None:
        message = self._take_from(self.dead_letters)
        self._record_dead_letter(message)
        if self.choose([False, True]):
            self.dead_letters.append(message)  # as above

    def sweep(self) -> None:
        """A sweeper publishes what is due. It has not deleted the rows yet."""
        self.queue.extend(self.turns.lease())

    def delete_published(self) -> None:
        self.turns.delete_leased()

    def kill_sweeper(self) -> None:
        self.turns.expire_leases()

    def pass_on(self) -> None:
        passed = self.turns.pass_on()
        if passed is not None:
            self.passed.add(passed)
        self._note_turn(is_passed=True)

    def _is_turn_running(self) -> bool:
        return bool(self._running())

    def _running(self) -> set[int]:
        """The webhooks that run, without copies whose attempt another processor has recorded."""
        return {message.webhook for message in self.running if message not in self.recorded}

    def _begin(self, message: Message) -> bool:
        """Whether it runs now."""
        begin = self.turns.begin(message)
        self._note_turn()
        self.arrived.add(message.webhook)
        if begin is Begin.RUN:
            self._check_exclusive(message.webhook)
            self.begun.add(message.webhook)
            self.running.append(message)
        elif isinstance(begin, AttemptOutcome):
            self._settle(message, begin)
        return begin is not Begin.PARKED

    def _check_exclusive(self, webhook: int) -> None:
        assert webhook == self.holder, f"{webhook} runs in the turn of {self.holder}."
        beside = self._running() - {webhook}
        assert not beside, f"{webhook} runs beside {beside}."
        unfinished = self.begun - self.over - self.passed - {webhook}
        assert not unfinished, f"{webhook} runs although {unfinished} has begun and not ended."

    def _note_turn(self, *, is_passed: bool = False) -> None:
        """The turn goes to the first of those that have arrived and have not ended.

        If it was not passed on, it goes to none before a webhook that is known to be on its way,
        unless another one went before that already.
        """
        before, self.holder = self.holder, self.turns.holder()
        if self.holder is None or self.holder == before:
            return
        earlier = {other for other in self.arrived if other < self.holder}
        skipped = earlier - self.over - self.passed
        assert not skipped, f"{self.holder} has the turn before {skipped}."
        last = max((w for w in self.begun | self.over if w < self.holder), default=-1)
        coming = {w for w in self.written - self.arrived if last < w < self.holder}
        assert is_passed or not coming, f"{self.holder} has the turn, {coming} come."

    def _finish(self, message: Message, outcome: AttemptOutcome) -> AttemptOutcome:
        recorded, is_fresh = self.turns.finish(message, outcome)
        self.recorded.add(message)
        if recorded is not AttemptOutcome.FAILED:
            self.over.add(message.webhook)
        self._note_turn()
        if is_fresh and recorded is AttemptOutcome.COMPLETED:
            assert message.webhook not in self.effects, f"{message.webhook} has two effects."
            self.effects.append(message.webhook)
        return recorded

    def _settle(self, message: Message, recorded: AttemptOutcome) -> None:
        """Acknowledge or reject the message."""
        if recorded is AttemptOutcome.FAILED and message.attempt < MAX_ATTEMPTS:
            self.retrying.append(message)
        elif recorded in {AttemptOutcome.FAILED, AttemptOutcome.PERMANENT}:
            self.dead_letters.append(message)

    def _record_dead_letter(self, message: Message) -> None:
        self.turns.dead_letter(message)
        self.over.add(message.webhook)
        self._note_turn()

    def _take_from(self, messages: list[Message]) -> Message:
        message: Message = self.choose(messages)
        messages.remove(message)
        return message
