"""Moves a running system to another ladder, in steps that may be cut short and done again.

Nothing may be rejected while the bindings are swapped: with two rungs bound to an attempt a message
is copied, with none it is a dead letter too early. So processing rests meanwhile. Each step finds
out by itself what is left to do; whoever dies in the middle leaves processing at rest, and a second
run goes on.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import ChannelLockedResource

from ringback.contract.ladder import Ladder
from ringback.contract.ladder_move import LadderMove, ladder_move, rung_bindings
from ringback.contract.topology import FAILED, SUSPECT_QUEUE, WORK_QUEUE, Binding, topology
from ringback.runtime.management_api import ManagementError, management_api
from ringback.runtime.rabbit import BROKER_AWAY
from ringback.runtime.topology import TopologyError, bound_rungs, connected, declare

SETTLE_S = 12.0
"""For how long nothing may be seen to move: the broker's figures can be ten seconds old."""

_LOCK_QUEUE = "webhooks.topology-lock"
_LOOK_EVERY_S = 0.5
_BIND_TIMEOUT_S = 20.0


class Step(StrEnum):
    """What has been done."""

    DECLARED = "declared"
    PAUSED = "paused"
    SETTLED = "settled"
    UNBOUND = "unbound"
    BOUND = "bound"
    RESUMED = "resumed"


class Processing(Protocol):
    """Those who take webhooks from the work queue, all of them."""

    async def pause(self) -> None:
        """They are to take no more. Done already, it changes nothing."""

    async def in_hand(self) -> int | None:
        """How many webhooks they still hold; None while not all of them have noticed the pause."""

    async def resume(self) -> None:
        """End a pause of a move, also of one that was cut short; anybody else's pause stays."""


class NobodyProcesses:
    """For a system whose processors are stopped: the broker's word that nobody consumes is all."""

    async def pause(self) -> None:
        """There is nobody to be told."""

    async def in_hand(self) -> int | None:
        return 0

    async def resume(self) -> None:
        """There is nobody to be told."""


def _ignore(_: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a move is asked for. Without `management_url`, `old` must be the ladder that is bound.

    `done` hears of each step, `waits` what is waited for, each time that it changes.
    """

    amqp_url: str
    to: Ladder
    old: Ladder | None = None
    management_url: str | None = None
    settle_s: float = SETTLE_S
    done: Callable[[Step], None] = _ignore
    waits: Callable[[str], None] = _ignore


async def planned(asked: Asked) -> LadderMove:
    """What a move would change now. Raises TopologyError where nobody knows what is bound."""
    return ladder_move(await _bound(asked), asked.to)


async def move(asked: Asked, processing: Processing) -> LadderMove:
    """Move to the ladder `asked.to` and return what was changed; a second run changes nothing.

    The rungs of the old ladder stay, unbound, until their messages have gone on. Raises
    TopologyError, with processing at rest when it had been paused.
    """
    try:
        async with connected(asked.amqp_url) as connection, alone(connection):
            return await _move(asked, processing, connection)
    except BROKER_AWAY as exc:
        raise TopologyError(f"The broker refused: {type(exc).__name__}: {exc}") from exc
    except ManagementError as exc:
        raise TopologyError(str(exc)) from exc


async def _move(asked: Asked, processing: Processing, connection: AbstractConnection) -> LadderMove:
    plan = await planned(asked)
    wanted = topology(asked.to)
    rungs = rung_bindings(asked.to)
    unbound = tuple(binding for binding in wanted.bindings if binding not in rungs)
    await declare(connection, replace(wanted, bindings=unbound))
    asked.done(Step.DECLARED)
    if not plan.is_done:
        await processing.pause()
        asked.done(Step.PAUSED)
        channel = await connection.channel()
        await _settled(asked, processing, channel)
        asked.done(Step.SETTLED)
        await _swap(asked, channel, plan)
    await processing.resume()
    asked.done(Step.RESUMED)
    return plan


async def _swap(asked: Asked, channel: AbstractChannel, plan: LadderMove) -> None:
    async with asyncio.timeout(_BIND_TIMEOUT_S):
        for binding in plan.unbind:
            queue = await channel.get_queue(binding.queue, ensure=False)
            await queue.unbind(binding.exchange, binding.routing_key)
        asked.done(Step.UNBOUND)
        for binding in plan.bind:
            queue = await channel.get_queue(binding.queue, ensure=False)
            await queue.bind(binding.exchange, binding.routing_key)
        asked.done(Step.BOUND)
    if asked.management_url is not None and not (await planned(asked)).is_done:
        raise TopologyError("Somebody else binds rungs at the same time. Run it again.")


async def _bound(asked: Asked) -> frozenset[Binding]:
    if asked.management_url is not None:
        try:
            bound = await bound_rungs(asked.amqp_url, asked.management_url)
        except ManagementError as exc:
            raise TopologyError(str(exc)) from exc
        _refuse_wrong_memory(asked, bound)
        return bound
    if asked.old is None:
        raise TopologyError(
            "Nobody can say which ladder is bound. Set RINGBACK_RABBITMQ_MANAGEMENT_URL, or name "
            f"the ladder that is bound now, as in `--from 2s,4s,8s`, from which {FAILED} leads on."
        )
    return frozenset(rung_bindings(asked.old))


def _refuse_wrong_memory(asked: Asked, bound: frozenset[Binding]) -> None:
    """In the middle of a move some rungs are bound of neither ladder, and that is no mistake."""
    if asked.old is None:
        return
    known = {*rung_bindings(asked.old), *rung_bindings(asked.to)}
    strange = sorted(binding.queue for binding in ladder_move(bound, asked.to).unbind)
    if not {binding.queue for binding in known}.issuperset(strange):
        raise TopologyError(f"The ladder {asked.old} is not what is bound: {', '.join(strange)}.")


async def _settled(asked: Asked, processing: Processing, channel: AbstractChannel) -> None:
    """Wait until nothing has been in hand, or on its way to a rung, for `settle_s`."""
    still_since: float | None = None
    said = ""
    while still_since is None or time.monotonic() - still_since < asked.settle_s:
        moves = await _what_moves(asked, processing, channel)
        if moves:
            still_since = None
        elif still_since is None:
            still_since = time.monotonic()
        sentence = moves or f"Nothing moves. Looking on for {asked.settle_s:g} s."
        if sentence != said:
            asked.waits(sentence)
            said = sentence
        await asyncio.sleep(min(_LOOK_EVERY_S, asked.settle_s))


async def _what_moves(asked: Asked, processing: Processing, channel: AbstractChannel) -> str:
    """A sentence; empty when nothing does."""
    for name in (WORK_QUEUE, SUSPECT_QUEUE):
        queue = await channel.declare_queue(name, passive=True)
        consumers = queue.declaration_result.consumer_count
        if consumers:
            # Counted are also those that take no more and have not answered all that they took.
            return f"{consumers} of those who take from {name} are not done."
    in_hand = await processing.in_hand()
    if in_hand is None:
        return "Not all processors have noticed the pause."
    if in_hand:
        return f"Processors have {in_hand} webhooks in hand."
    return await _what_the_broker_moves(asked) if asked.management_url is not None else ""


async def _what_the_broker_moves(asked: Asked) -> str:
    assert asked.management_url is not None
    async with management_api(asked.management_url, asked.amqp_url) as api:
        queues = await api.queues()
    for name in (WORK_QUEUE, SUSPECT_QUEUE):
        figures = queues.get(name)
        if figures is None:
            return f"The broker has no figures of {name} yet."
        if figures.unacknowledged:
            return f"{figures.unacknowledged} messages of {name} are unacknowledged."
        if figures.on_their_way:
            return f"{figures.on_their_way} messages of {name} are on their way to a rung."
    return ""


@asynccontextmanager
async def alone(connection: AbstractConnection) -> AsyncGenerator[None, None]:
    """Two moves at once could bind two ladders. The broker keeps the second out until we end.

    Raises TopologyError for the second.
    """
    channel = await connection.channel()
    try:
        lock = await channel.declare_queue(_LOCK_QUEUE, exclusive=True, auto_delete=True)
    except ChannelLockedResource as exc:
        raise TopologyError("Another move of the ladder is under way.") from exc
    try:
        yield
    finally:
        # It goes with the connection as well, but a moment later.
        with suppress(*BROKER_AWAY):
            await lock.delete(if_unused=False, if_empty=False)
