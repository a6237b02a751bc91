"""Two gateways, two metrics services, and processors that become four, restarted under load."""

import asyncio
import os
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chaos import delivery_log
from chaos.load.ledger import Offered
from chaos.load.process import running_load
from chaos.load.webhook import Kind, Mix, special
from chaos.rollups import wrong_counts
from chaos.stage import install
from chaos.supervised import Replica, replicas
from chaos.verdict import judge
from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.broker import PrivateBroker
from ringback.local.ports import ServicePorts
from ringback.local.stack_service import StackContext, urls_by_role
from ringback.metrics import MetricsClient
from ringback.runtime.amqp import topology
from tests.support.eventually import eventually
from tests.support.gateway_client import PATIENT
from tests.support.local_slack import LocalSlack, local_slack
from tests.support.tokens import JWT_SECRET, token


class Balancer:
    """Tries nothing twice: what one gateway refuses is refused."""

    def __init__(self, urls: Sequence[str], client: aiohttp.ClientSession) -> None:
        self.url = ""
        self._urls = list(urls)
        self._client = client
        self._turns = count()
        self._open: Counter[str] = Counter()

    @asynccontextmanager
    async def without(self, url: str) -> AsyncGenerator[None, None]:
        """Send nothing to this one, from when it has answered all that it was sent."""
        self._urls.remove(url)
        await eventually(lambda: not self._open[url])
        try:
            yield
        finally:
            self._urls.append(url)

    async def forward(self, request: web.Request) -> web.Response:
        url = self._urls[next(self._turns) % len(self._urls)]
        body = await request.read()
        self._open[url] += 1
        try:
            headers = {"Content-Type": request.headers["Content-Type"]}
            async with self._client.post(url, data=body, headers=headers) as answer:
                return web.Response(
                    status=answer.status,
                    body=await answer.read(),
                    content_type=answer.content_type,
                )
        finally:
            self._open[url] -= 1


@asynccontextmanager
async def balanced(urls: Sequence[str]) -> AsyncGenerator[Balancer, None]:
    """One that listens until the context is left."""
    async with aiohttp.ClientSession() as client:
        balancer = Balancer(urls, client)
        app = web.Application()
        app.router.add_post("/api/webhooks/vapi", balancer.forward)
        server = TestServer(app)
        await server.start_server(shutdown_timeout=0.1)
        balancer.url = str(server.make_url("/api/webhooks/vapi"))
        try:
            yield balancer
        finally:
            await server.close()


SCHEDULE = "100ms,200ms,300ms"
RATE_PER_S = 20.0
ENOUGH = 150


@dataclass(frozen=True, slots=True)
class Place:
    broker: PrivateBroker
    amqp_url: str
    database_url: str
    folder: Path


def around(place: Place, slack: LocalSlack) -> StackContext:
    return StackContext(
        environ=os.environ
        | {
            "RINGBACK_RETRY_SCHEDULE": SCHEDULE,
            "RINGBACK_HANDLERS": "chaos.handlers",
            "RINGBACK_TRACE_FILE": "",
            "RINGBACK_SLACK_WEBHOOK_URL": slack.url,
            "RINGBACK_SLACK_BATCH_WINDOW_S": "0",
            "RINGBACK_DATABASE_POOL_MIN": "1",
            **PATIENT,
        },
        amqp_url=place.amqp_url,
        database_urls=urls_by_role(place.database_url),
        ports=ServicePorts(),
        jwt_secret=JWT_SECRET,
        state_dir=place.folder,
        management_url=place.broker.management_url,
    )


async def completed_by(replica: Replica) -> float:
    url = f"{replica.observability_url}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        lines = (await answer.text()).splitlines()
    samples = [line for line in lines if line.startswith("webhook_completed_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in samples)


async def dead_letter(gateway: Replica, kind: Kind, connection: asyncpg.Connection) -> None:
    """Send a webhook that fails four times, and wait until that is recorded."""
    body = special(f"dead-{uuid.uuid4()}", kind, failUntilAttempt=9)
    headers = {"Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(gateway.url, data=body) as answer,
    ):
        job_id = (await answer.json())["jobId"]

    async def is_dead() -> bool:
        status = await connection.fetchval(
            "SELECT status FROM webhook_delivery_log WHERE id = $1::uuid", job_id
        )
        return bool(status == "dead_letter")

    await eventually(is_dead)


async def restart(replica: Replica) -> None:
    """Stopped and started again, as for a new version."""
    ended = replica.service.deaths
    assert await replica.service.running.stop()
    await eventually(lambda: replica.service.deaths > ended)
    await replica.service.ready(within_s=300)


async def finished(connection: asyncpg.Connection, offers: list[Offered]) -> None:
    ids = delivery_log.accepted_ids(offers)

    async def all_ended() -> bool:
        return not await delivery_log.unfinished(connection, ids)

    await eventually(all_ended, deadline_s=40)


def accepted_of(offers: list[Offered]) -> int:
    return sum(offer.is_accepted for offer in offers)


async def until_enough(read: Callable[[], list[Offered]], count: int) -> None:
    await eventually(lambda: accepted_of(read()) >= count, deadline_s=40)


@pytest.mark.slow
async def test_more_of_each_lose_and_double_nothing(
    amqp_url: str, database_url: str, broker: PrivateBroker, tmp_path: Path
) -> None:
    """Every webhook ends once, all counts are right, and Slack gets each message once."""
    await topology.apply(amqp_url, RetrySchedule.parse(SCHEDULE))
    await install(database_url)
    place = Place(broker, amqp_url, database_url, tmp_path)
    connection = await asyncpg.connect(database_url)
    mix = Mix(failing_in_ten=2)
    async with (
        local_slack() as slack,
        replicas("metrics", 2, around(place, slack)) as metrics,
        replicas("processor", 2, around(place, slack)) as first_two,
        replicas("gateway", 2, around(place, slack)) as gateways,
        balanced([gateway.url for gateway in gateways]) as balancer,
        MetricsClient(metrics[0].grpc_address, token=token()) as one,
        MetricsClient(metrics[1].grpc_address, token=token()) as other,
    ):
        async with (
            running_load(balancer.url, tmp_path / "1.jsonl", mix, per_s=RATE_PER_S) as left,
            running_load(balancer.url, tmp_path / "2.jsonl", mix, per_s=RATE_PER_S) as right,
        ):

            def offers() -> list[Offered]:
                return [*left.offers(), *right.offers()]

            await asyncio.gather(left.steady(), right.steady())
            await until_enough(offers, ENOUGH)
            for one_of_each in zip(gateways, metrics, first_two, strict=True):
                async with balancer.without(one_of_each[0].url):
                    await asyncio.gather(*map(restart, one_of_each))
            async with replicas("processor", 2, around(place, slack)) as more:
                await until_enough(offers, accepted_of(offers()) + ENOUGH)
                await asyncio.gather(left.stop(), right.stop())
                await finished(connection, offers())
                shares = [await completed_by(one) for one in (*first_two, *more)]
        await dead_letter(gateways[0], Kind.PLAIN, connection)
        await eventually(lambda: slack.taken)
        await dead_letter(gateways[1], Kind.WRITTEN, connection)
        await eventually(lambda: len(slack.taken) > 1)
        sent = offers()
        # A busy machine may be too slow for the client, which then gives up.
        unanswered = sum(offer.status is None for offer in sent)

        async def all_right() -> bool:
            accepted = accepted_of(sent) + 2
            found = await wrong_counts(connection, [one, other], accepted, unanswered)
            assert not found
            return True

        await eventually(all_right)
        verdict = judge(
            sent,
            await delivery_log.logged(connection, sent),
            await delivery_log.effects(connection, sent),
        )
    await connection.close()
    errors = [one.error for one in sent if one.error and not one.error.startswith("no answer in")]
    assert (verdict.lost, verdict.twice, verdict.refused, errors) == ((), (), 0, [])
    assert verdict.duplicates > 0
    assert all(shares), shares
    assert len(slack.taken) == slack.tries == 2, slack.headlines()
