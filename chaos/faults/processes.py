"""Processes that die, and processes that freeze with their connections open."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from chaos.fault import Fault, Part, Strike, between
from chaos.stage import Stage
from chaos.supervised import Supervised
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase

_FROZEN_S = 20.0
_DOWN_S = 5.0
_RESUMES_WITHIN_S = 5.0

_Part: TypeAlias = Callable[[Stage], Supervised | PrivateBroker | PrivateDatabase]


def _killed(part: _Part) -> Strike:
    @asynccontextmanager
    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        await part(stage).kill()
        yield

    return strike


def _frozen(part: _Part) -> Strike:
    return between(lambda stage: part(stage).freeze(), lambda stage: part(stage).thaw())


FAULTS = (
    Fault(
        name="gateway-killed",
        sentence="SIGKILL of the only gateway; it is restarted after half a second.",
        part=Part.GATEWAY,
        strike=_killed(lambda stage: stage.gateway),
        may_not_answer=True,
    ),
    Fault(
        name="processor-killed",
        sentence="SIGKILL of the only processor, with as much in flight as possible.",
        part=Part.PROCESSOR,
        strike=_killed(lambda stage: stage.processor),
    ),
    Fault(
        name="metrics-killed",
        sentence="SIGKILL of the metrics service.",
        part=Part.METRICS,
        strike=_killed(lambda stage: stage.metrics),
    ),
    Fault(
        name="broker-killed",
        sentence="SIGKILL of RabbitMQ, which stays down for five seconds or more.",
        part=Part.BROKER,
        strike=between(lambda stage: stage.broker.kill(), lambda stage: stage.broker.start()),
        hold_s=_DOWN_S,
    ),
    Fault(
        name="database-killed",
        sentence="SIGKILL of PostgreSQL, which stays down for five seconds or more.",
        part=Part.DATABASE,
        strike=between(lambda stage: stage.database.kill(), lambda stage: stage.database.start()),
        hold_s=_DOWN_S,
        resumes_within_s=_RESUMES_WITHIN_S,
    ),
    Fault(
        name="gateway-frozen",
        sentence="SIGSTOP of the only gateway for 20 s.",
        part=Part.GATEWAY,
        strike=_frozen(lambda stage: stage.gateway),
        hold_s=_FROZEN_S,
    ),
    Fault(
        name="processor-frozen",
        sentence="SIGSTOP of the only processor for 20 s.",
        part=Part.PROCESSOR,
        strike=_frozen(lambda stage: stage.processor),
        hold_s=_FROZEN_S,
    ),
    Fault(
        name="metrics-frozen",
        sentence="SIGSTOP of the metrics service for 20 s.",
        part=Part.METRICS,
        strike=_frozen(lambda stage: stage.metrics),
        hold_s=_FROZEN_S,
    ),
    Fault(
        name="broker-frozen",
        sentence="SIGSTOP of RabbitMQ for 20 s: connections are open but silent.",
        part=Part.BROKER,
        strike=_frozen(lambda stage: stage.broker),
        hold_s=_FROZEN_S,
    ),
    Fault(
        name="database-frozen",
        sentence="SIGSTOP of PostgreSQL and its workers for 20 s.",
        part=Part.DATABASE,
        strike=_frozen(lambda stage: stage.database),
        hold_s=_FROZEN_S,
    ),
)
