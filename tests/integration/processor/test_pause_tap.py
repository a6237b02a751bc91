"""A queue is consumed while there is no reason to pause it, whatever the order of reasons."""

from itertools import permutations

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from ringback.contract.topology import WORK_QUEUE
from services.processor.consume.consumer import QueueConsumer
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage
from tests.support.eventually import eventually

REASONS = ("database", "paused", "quarantine", "draining")


async def untouched(_: AbstractIncomingMessage) -> None:
    """No message is sent here."""


def not_lost() -> None:
    pytest.fail("the session was given up")


def tap(*shut_for: str) -> QueueConsumer:
    return QueueConsumer(WORK_QUEUE, 5, untouched, on_lost=not_lost, shut_for=shut_for)


async def test_it_runs_when_the_last_reason_is_withdrawn(place: Place) -> None:
    """The order does not matter, and the first reason pauses it."""
    under_test = tap(*REASONS)
    async with await aio_pika.connect(place.amqp_url) as connection:
        await under_test.attach(connection)
        for order in permutations(REASONS):
            for reason in order:
                assert not under_test.is_running
                await under_test.open(reason)
            assert under_test.is_running
            for reason in reversed(order):
                await under_test.pause(reason)
                assert not under_test.is_running


async def test_one_reason_is_one_however_often_it_is_given(place: Place) -> None:
    """Two pauses end with one resumption, and withdrawing a missing reason does no harm."""
    under_test = tap()
    async with await aio_pika.connect(place.amqp_url) as connection:
        await under_test.attach(connection)

        await under_test.pause("paused")
        await under_test.pause("paused")
        await under_test.open("quarantine")
        is_shut = not under_test.is_running
        await under_test.open("paused")

        assert is_shut
        assert under_test.is_running


async def test_shut_before_it_has_a_connection_it_stays_shut(stage: Stage) -> None:
    """The broker has no consumer; a new connection does not change that."""
    under_test = tap("paused")
    async with await aio_pika.connect(stage.place.amqp_url) as connection:
        await under_test.attach(connection)
        assert not under_test.is_running

        await under_test.open("paused")
        await under_test.pause("paused")
        await under_test.attach(connection)

        assert not under_test.is_running
        assert await under_test.is_consuming()

        async def nobody_consumes() -> bool:
            declared = await stage.channel.declare_queue(WORK_QUEUE, passive=True)
            return declared.declaration_result.consumer_count == 0

        await eventually(nobody_consumes)
