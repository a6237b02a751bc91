"""Deletes the retry queues of former schedules once their last message has left."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from ringback.contract.topology import FAILED, is_retry_queue
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS
from ringback.runtime.amqp.management_api import ManagementApi, ManagementError, management_api
from ringback.runtime.amqp.schedule_change import SETTLE_S, alone
from ringback.runtime.amqp.topology import TopologyError, connected

_LOOK_EVERY_S = 0.5
_DELETE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class OldRetryQueues:
    """Unbound retry queues: empty ones, and those that contain or may contain messages."""

    empty: tuple[str, ...]
    held: dict[str, int | None]
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
            alone(connection),
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
    waits(f"Seeing for {settle_s:g} s that they stay empty.")
    until = time.monotonic() + settle_s
    while found.empty and time.monotonic() < until:
        await asyncio.sleep(_LOOK_EVERY_S)
        again = await _old_retry_queues(api)
        still = tuple(name for name in found.empty if name in again.empty)
        found = OldRetryQueues(still, again.held)
    return found


async def _old_retry_queues(api: ManagementApi) -> OldRetryQueues:
    queues = {
        name: figures for name, figures in (await api.queues()).items() if is_retry_queue(name)
    }
    bound = {binding.queue for binding in await api.bindings_from(FAILED)}
    if queues and not bound.intersection(queues):
        raise TopologyError(
            "No retry queue is bound: a move of the retry schedule was cut short. Run `ringback "
            "topology move` "
            "again first."
        )
    counts = {
        name: None if figures is None else figures.messages
        for name, figures in sorted(queues.items())
        if name not in bound
    }
    return OldRetryQueues(
        empty=tuple(name for name, count in counts.items() if count == 0),
        held={name: count for name, count in counts.items() if count != 0},
    )
