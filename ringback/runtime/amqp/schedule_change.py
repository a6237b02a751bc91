"""Changes the retry schedule of a running system, in steps that can be interrupted and repeated.

Nothing may be rejected while the bindings change: with two retry queues bound to an attempt a
message is copied, and with no queue it becomes a dead letter too early. So processing is paused
meanwhile. Each step finds out what is left to do. If the command dies halfway, processing stays
paused, and a second run continues.
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

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import (
    ATTEMPT_QUEUES,
    FAILED,
    Binding,
    ScheduleChange,
    is_retry_queue,
    retry_queue_bindings,
    schedule_change,
    topology,
)
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS
from ringback.runtime.amqp.management_api import ManagementApi, ManagementError, management_api
from ringback.runtime.amqp.topology import TopologyError, bound_retry_queues, connected, declare

SETTLE_S = 12.0
"""How long nothing may be in flight: the broker's figures can be ten seconds old."""

_LOCK_QUEUE = "webhooks.topology-lock"
_POLL_S = 0.5
_BIND_TIMEOUT_S = 20.0


class Step(StrEnum):
    """A finished step."""

    DECLARED = "declared"
    PAUSED = "paused"
    SETTLED = "settled"
    UNBOUND = "unbound"
    BOUND = "bound"
    RESUMED = "resumed"


class Processing(Protocol):
    """All consumers of webhooks to attempt."""

    async def pause(self) -> None:
        """Stop consuming. Repeating this changes nothing."""

    async def in_flight(self) -> int | None:
        """How many webhooks are in flight; None until every processor has noticed the pause."""

    async def resume(self) -> None:
        """End the pause of this or an interrupted change of the schedule; other pauses stay."""


class StoppedProcessing:
    """For a system whose processors are stopped, so that only the broker must be checked."""

    async def pause(self) -> None:
        """There is nothing to pause."""

    async def in_flight(self) -> int | None:
        return 0

    async def resume(self) -> None:
        """There is nothing to resume."""


def _ignore(_: str) -> None:
    """No progress is reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequest:
    """The parameters of a change. Without `management_url`, `old` must be the bound schedule.

    `done` is called after each step, `waits` whenever the reason for waiting changes.
    """

    amqp_url: str
    to: RetrySchedule
    old: RetrySchedule | None = None
    management_url: str | None = None
    settle_s: float = SETTLE_S
    done: Callable[[Step], None] = _ignore
    waits: Callable[[str], None] = _ignore


async def planned(request: ChangeRequest) -> ScheduleChange:
    """What a change would do now. Raises TopologyError if the bindings are unknown."""
    return schedule_change(await _bound(request), request.to)


async def change_schedule(request: ChangeRequest, processing: Processing) -> ScheduleChange:
    """Change to the schedule `request.to` and return the changes; a second run changes nothing.

    The retry queues of the old schedule stay, unbound, until their messages have left. Raises
    TopologyError; processing stays paused if it was paused.
    """
    try:
        async with connected(request.amqp_url) as connection, exclusive_change(connection):
            return await _change(request, processing, connection)
    except BROKER_UNAVAILABLE_ERRORS as exc:
        raise TopologyError(f"The broker refused: {type(exc).__name__}: {exc}") from exc
    except ManagementError as exc:
        raise TopologyError(str(exc)) from exc


async def _change(
    request: ChangeRequest, processing: Processing, connection: AbstractConnection
) -> ScheduleChange:
    plan = await planned(request)
    wanted = topology(request.to)
    retry_queues = retry_queue_bindings(request.to)
    unbound = tuple(binding for binding in wanted.bindings if binding not in retry_queues)
    await declare(connection, replace(wanted, bindings=unbound))
    request.done(Step.DECLARED)
    if not plan.is_done:
        await processing.pause()
        request.done(Step.PAUSED)
        channel = await connection.channel()
        await _until_settled(request, processing, channel)
        request.done(Step.SETTLED)
        await _swap(request, channel, plan)
    await processing.resume()
    request.done(Step.RESUMED)
    return plan


async def _swap(request: ChangeRequest, channel: AbstractChannel, plan: ScheduleChange) -> None:
    async with asyncio.timeout(_BIND_TIMEOUT_S):
        for binding in plan.unbind:
            queue = await channel.get_queue(binding.queue, ensure=False)
            await queue.unbind(binding.exchange, binding.routing_key)
        request.done(Step.UNBOUND)
        for binding in plan.bind:
            queue = await channel.get_queue(binding.queue, ensure=False)
            await queue.bind(binding.exchange, binding.routing_key)
        request.done(Step.BOUND)
    if request.management_url is not None and not (await planned(request)).is_done:
        raise TopologyError(
            "Another program binds retry queues at the same time. Run the command again."
        )


async def _bound(request: ChangeRequest) -> frozenset[Binding]:
    if request.management_url is not None:
        try:
            bound = await bound_retry_queues(request.amqp_url, request.management_url)
        except ManagementError as exc:
            raise TopologyError(str(exc)) from exc
        _verify_old_schedule(request, bound)
        return bound
    if request.old is None:
        raise TopologyError(
            f"It is unknown which retry schedule is bound to {FAILED}. Set "
            "RINGBACK_RABBITMQ_MANAGEMENT_URL, or name the bound one, as in `--from 2s,4s,8s`."
        )
    return frozenset(retry_queue_bindings(request.old))


def _verify_old_schedule(request: ChangeRequest, bound: frozenset[Binding]) -> None:
    """Halfway through, retry queues of neither schedule may be bound. That is not an error."""
    if request.old is None:
        return
    known = {*retry_queue_bindings(request.old), *retry_queue_bindings(request.to)}
    strange = sorted(binding.queue for binding in schedule_change(bound, request.to).unbind)
    if not {binding.queue for binding in known}.issuperset(strange):
        raise TopologyError(
            f"The retry schedule {request.old} is not bound, but {', '.join(strange)}."
        )


async def _until_settled(
    request: ChangeRequest, processing: Processing, channel: AbstractChannel
) -> None:
    """Wait until nothing has been in flight, or on its way to a retry queue, for `settle_s`."""
    still_since: float | None = None
    last_sentence = ""
    while still_since is None or time.monotonic() - still_since < request.settle_s:
        busy_reason = await _busy_reason(request, processing, channel)
        if busy_reason:
            still_since = None
        elif still_since is None:
            still_since = time.monotonic()
        sentence = (
            busy_reason or f"Nothing is in flight. Checking for another {request.settle_s:g} s."
        )
        if sentence != last_sentence:
            request.waits(sentence)
            last_sentence = sentence
        await asyncio.sleep(min(_POLL_S, request.settle_s))


async def _busy_reason(
    request: ChangeRequest, processing: Processing, channel: AbstractChannel
) -> str:
    """Why the change must still wait, as a sentence; empty if nothing is in flight."""
    for name in ATTEMPT_QUEUES:
        queue = await channel.declare_queue(name, passive=True)
        consumers = queue.declaration_result.consumer_count
        if consumers:
            # This includes processors that stopped consuming but have not answered all their
            # messages.
            return f"{consumers} consumers of {name} have not finished."
    in_flight = await processing.in_flight()
    if in_flight is None:
        return "Not all processors have noticed the pause."
    if in_flight:
        return f"Processors have {in_flight} webhooks in flight."
    return await _busy_reason_of_broker(request) if request.management_url is not None else ""


async def _busy_reason_of_broker(request: ChangeRequest) -> str:
    assert request.management_url is not None
    async with management_api(request.management_url, request.amqp_url) as api:
        queues = await api.queues()
    for name in ATTEMPT_QUEUES:
        figures = queues.get(name)
        if figures is None:
            return f"The broker has no message counts of {name} yet."
        if figures.unacknowledged:
            return f"{figures.unacknowledged} messages of {name} are unacknowledged."
        if figures.on_their_way:
            return f"{figures.on_their_way} messages of {name} are on their way to a retry queue."
    return ""


@asynccontextmanager
async def exclusive_change(connection: AbstractConnection) -> AsyncGenerator[None, None]:
    """Keep a second change out until this one ends: two at once could bind two schedules.

    Raises TopologyError for the second.
    """
    channel = await connection.channel()
    try:
        lock = await channel.declare_queue(_LOCK_QUEUE, exclusive=True, auto_delete=True)
    except ChannelLockedResource as exc:
        raise TopologyError(
            "Another `ringback topology change` or `prune` is running. Wait until it ends."
        ) from exc
    try:
        yield
    finally:
        # Closing the connection removes it too, but a moment later.
        with suppress(*BROKER_UNAVAILABLE_ERRORS):
            await lock.delete(if_unused=False, if_empty=False)


_DELETE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class OldRetryQueues:
    """Unbound retry queues: empty ones, and those that contain or may contain messages."""

    empty: tuple[str, ...]
    nonempty: dict[str, int | None]
    """How many messages; None if the broker does not report it."""


async def old_retry_queues(amqp_url: str, management_url: str) -> OldRetryQueues:
    """What could be deleted now, from figures that are some seconds old. Raises TopologyError."""
    try:
        async with management_api(management_url, amqp_url) as api:
            return await _old_retry_queues(api)
    except ManagementError as exc:
        raise TopologyError(str(exc)) from exc


async def remove_old_retry_queues(
    amqp_url: str,
    management_url: str,
    *,
    settle_s: float = SETTLE_S,
    waits: Callable[[str], None] = lambda _: None,
) -> OldRetryQueues:
    """Delete unbound retry queues that have been empty for `settle_s`; the others stay.

    `empty` of the result lists the deleted ones. AMQP's own "delete if empty" does not exist for
    quorum queues, and would miss a message that is on its way out. Raises TopologyError.
    """
    try:
        async with (
            connected(amqp_url) as connection,
            exclusive_change(connection),
            management_api(management_url, amqp_url) as api,
        ):
            found = await _empty_for(settle_s, api, waits)
            channel = await connection.channel()
            async with asyncio.timeout(_DELETE_TIMEOUT_S):
                for name in found.empty:
                    await channel.queue_delete(name)
            return found
    except ManagementError as exc:
        raise TopologyError(str(exc)) from exc
    except BROKER_UNAVAILABLE_ERRORS as exc:
        raise TopologyError(f"The broker refused: {type(exc).__name__}: {exc}") from exc


async def _empty_for(
    settle_s: float, api: ManagementApi, waits: Callable[[str], None]
) -> OldRetryQueues:
    found = await _old_retry_queues(api)
    if not found.empty:
        return found
    waits(f"Checking for {settle_s:g} s that they stay empty.")
    until = time.monotonic() + settle_s
    while found.empty and time.monotonic() < until:
        await asyncio.sleep(_POLL_S)
        again = await _old_retry_queues(api)
        still = tuple(name for name in found.empty if name in again.empty)
        found = OldRetryQueues(still, again.nonempty)
    return found


async def _old_retry_queues(api: ManagementApi) -> OldRetryQueues:
    queues = {
        name: figures for name, figures in (await api.queues()).items() if is_retry_queue(name)
    }
    bound = {binding.queue for binding in await api.bindings_from(FAILED)}
    if queues and not bound.intersection(queues):
        raise TopologyError(
            "No retry queue is bound: a change of the retry schedule was interrupted. Run "
            "`ringback topology change` again first."
        )
    counts = {
        name: None if figures is None else figures.messages
        for name, figures in sorted(queues.items())
        if name not in bound
    }
    return OldRetryQueues(
        empty=tuple(name for name, count in counts.items() if count == 0),
        nonempty={name: count for name, count in counts.items() if count != 0},
    )
