"""A committed, unpublished retry is published by the first service that finds it."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import aio_pika
import pytest
from prometheus_client import CollectorRegistry

from ringback.contract.identity import new_job_id
from ringback.contract.topology import WORK_QUEUE
from ringback.runtime.observability.tracing import NO_TRACES
from ringback.services.metrics.commands.outbox import RetryOutbox, RetrySpans
from ringback.services.metrics.commands.retry import Retries, RetryCommand
from ringback.services.metrics.commands.sweeper import RetrySweeper
from ringback.services.metrics.instruments import RetryInstruments
from tests.integration.metrics.retry_stage import OURS, RetryStage
from tests.support.eventually import eventually


class Unlucky:
    """A publisher that confirms nothing until the test allows it."""

    #: Each publish waits for it.
    may_publish: asyncio.Event | None = None

    def __init__(self) -> None:
        self.is_connected = True
        self.confirms = False
        self.published: list[str] = []
        self.headers: list[Mapping[str, Any]] = []

    async def publish(self, message: aio_pika.Message, *, exchange: str, routing_key: str) -> None:
        self.headers.append(message.headers)
        self.published.append(f"{exchange} {routing_key} {message.message_id}")
        await asyncio.sleep(0)
        if self.may_publish:
            await self.may_publish.wait()
        if not self.confirms:
            raise TimeoutError


@pytest.fixture
async def unpublished(retrying: RetryStage) -> list[UUID]:
    """Three retries that were committed while the broker confirmed nothing, oldest first."""
    retries = Retries(retrying.access, outbox_with(retrying, Unlucky()), max_attempts=3)
    made = []
    for _ in range(3):
        order = RetryCommand(await retrying.bury(), "")
        made.append(await retries.retry(order, retrying.call()))
    assert not any(retry.is_published for retry in made)
    return [retry.new_id for retry in made]


def outbox_with(retrying: RetryStage, publisher: Unlucky) -> RetryOutbox:
    instruments = RetryInstruments(CollectorRegistry())
    return RetryOutbox(retrying.access, publisher, instruments, RetrySpans(NO_TRACES))


def sweeper_with(retrying: RetryStage, publisher: Unlucky) -> RetrySweeper:
    outbox = outbox_with(retrying, publisher)
    return RetrySweeper(retrying.access, outbox, retrying.stopping, min_age_s=0)


async def test_it_publishes_the_oldest_first_and_each_once(
    retrying: RetryStage, unpublished: list[UUID]
) -> None:
    """Under the ids that they have, and not again once they are marked.

    Young ones are skipped: they are being published at this moment.
    """
    await retrying.sweeper(min_age_s=3600).sweep()
    assert await retrying.waiting() == 0

    await retrying.sweeper().sweep()
    await retrying.sweeper().sweep()

    queue = await retrying.stage.channel.get_queue(WORK_QUEUE)
    swept = [UUID(str((await queue.get(no_ack=True, timeout=60)).message_id)) for _ in unpublished]
    assert swept == unpublished
    assert await retrying.waiting() == 0


async def test_a_retried_forward_is_still_one(retrying: RetryStage) -> None:
    """Otherwise the handlers would run instead of its URL being called. The sweeper publishes it
    as the retry does.
    """
    received, sent = new_job_id(), await retrying.bury()
    await retrying.database.execute(
        "UPDATE webhook_delivery_log SET forward = 'crm', forward_of = $1 WHERE id = $2",
        received,
        sent,
    )
    publisher = Unlucky()
    retries = Retries(retrying.access, outbox_with(retrying, publisher), max_attempts=3)
    await retries.retry(RetryCommand(sent, ""), retrying.call())
    await sweeper_with(retrying, publisher).sweep()

    forwards = [(headers["forward"], headers["forward_of"]) for headers in publisher.headers]
    assert forwards == [("crm", str(received))] * 2


async def test_a_retry_that_cannot_be_published_does_not_stop_the_others(
    retrying: RetryStage, unpublished: list[UUID]
) -> None:
    """Somebody changed its row. It is not marked as published, and does not end the service."""
    broken, *others = unpublished
    await retrying.database.execute(
        "UPDATE webhook_delivery_log SET retry_schedule = 'sometimes' WHERE id = $1", broken
    )

    await retrying.sweeper().sweep()

    left = [retry["new_id"] for retry in await retrying.retries() if not retry["published_at"]]
    assert left == [broken]
    await retrying.stage.until_waiting(WORK_QUEUE, len(others))


async def test_two_at_once_publish_each_once(retrying: RetryStage, unpublished: list[UUID]) -> None:
    """One skips the rows that the other has leased."""
    await asyncio.gather(*(retrying.sweeper().sweep() for _ in range(4)))

    await retrying.stage.until_waiting(WORK_QUEUE, len(unpublished))
    assert all(retry["published_at"] for retry in await retrying.retries())


async def test_a_leased_row_is_published_by_one_sweeper_without_a_transaction(
    retrying: RetryStage, unpublished: list[UUID]
) -> None:
    """While the first publishes, the second finds nothing, and no transaction is open."""
    publisher, other = Unlucky(), Unlucky()
    publisher.may_publish = asyncio.Event()
    publisher.confirms = True
    sweeping = asyncio.create_task(sweeper_with(retrying, publisher).sweep())
    await eventually(lambda: bool(publisher.published))

    await sweeper_with(retrying, other).sweep()
    # Others may be in a short transaction; one of the sweeper would stay open until the end.
    await eventually(
        lambda: retrying.database.fetchval(
            "SELECT count(*) = 0 FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'idle in transaction'"
        )
    )
    publisher.may_publish.set()
    await sweeping

    assert other.published == []
    assert len(publisher.published) == len(unpublished)
    assert all(retry["published_at"] for retry in await retrying.retries())


async def test_the_lease_of_a_dead_sweeper_ends(
    retrying: RetryStage, unpublished: list[UUID]
) -> None:
    """Its rows are published by another one, under their ids."""
    publisher, other = Unlucky(), Unlucky()
    publisher.may_publish = asyncio.Event()
    dying = asyncio.create_task(sweeper_with(retrying, publisher).sweep())
    await eventually(lambda: bool(publisher.published))
    dying.cancel()
    await asyncio.wait({dying})

    await sweeper_with(retrying, other).sweep()
    before = list(other.published)
    await retrying.database.execute(
        "UPDATE webhook_retries SET leased_until = leased_until - interval '31 s'"
    )
    await sweeper_with(retrying, other).sweep()

    assert before == []
    assert other.published == [f"webhooks attempt.1 {new_id}" for new_id in unpublished]


async def test_retries_without_webhooks_delay_no_others(
    retrying: RetryStage, unpublished: list[UUID]
) -> None:
    """More of them than one sweep leases, all older, and the log has deleted their webhooks."""
    await retrying.database.execute(
        "INSERT INTO webhook_retries (original, new_id, org_id, actor, role, reason, received_at,"
        " created_at) SELECT gen_random_uuid(), gen_random_uuid(), $1, 'ada', 'service', '', now(),"
        " now() - interval '8 days' FROM generate_series(1, 50)",
        OURS,
    )
    publisher = Unlucky()

    await sweeper_with(retrying, publisher).sweep()

    assert publisher.published == [f"webhooks attempt.1 {new_id}" for new_id in unpublished]


async def test_an_unconfirmed_retry_is_published_again(
    retrying: RetryStage, unpublished: list[UUID]
) -> None:
    """One that fails does not delay the others."""
    publisher = Unlucky()
    sweeper = sweeper_with(retrying, publisher)

    await sweeper.sweep()
    publisher.confirms = True
    await sweeper.sweep()
    await sweeper.sweep()

    assert publisher.published == [
        f"webhooks attempt.1 {new_id}" for new_id in [*unpublished, *unpublished]
    ]


async def test_the_sweeper_waits_for_an_unavailable_broker(
    retrying: RetryStage, unpublished: list[UUID]
) -> None:
    """Nothing is tried meanwhile; all is published soon after it is back."""
    retrying.proxy.refuse()
    await eventually(lambda: not retrying.outbox.is_ready)
    sweeping = asyncio.create_task(retrying.sweeper().run(interval_s=0.05))

    retrying.proxy.accept()

    await retrying.stage.until_waiting(WORK_QUEUE, len(unpublished))
    sweeping.cancel()
    await asyncio.wait({sweeping})


async def test_retries_are_forgotten_with_their_webhooks(
    retrying: RetryStage, unpublished: list[UUID]
) -> None:
    """Not before the log has dropped both, and not on the same day."""
    prune = "SELECT prune_webhook_retries(100)"
    aged = "UPDATE webhook_retries SET created_at = created_at - interval '2 days'"
    first, *others = unpublished
    assert await retrying.database.fetchval(prune) == 0
    await retrying.database.execute(aged)
    await retrying.database.execute(
        "DELETE FROM webhook_delivery_log WHERE id <> ALL ($1::uuid[])", others
    )

    pruned = await retrying.database.fetchval(prune)

    assert pruned == 1
    assert first not in {retry["new_id"] for retry in await retrying.retries()}
