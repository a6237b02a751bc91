"""No secret is in any output of the three services, even when everything fails."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import asyncpg
import grpc
import pytest

from ringback.local.broker import PrivateBroker
from ringback.metrics.v1.metrics_service_pb2 import GetQueueHealthRequest
from ringback.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from tests.acceptance.whole import SERVICES, Whole, whole_ringback
from tests.support.eventually import eventually
from tests.support.tokens import token

CANARY = "canary-7f3a9c51-and-32-bytes-of-it"
USER = "ringback-of-this-test"
BAD_TOKEN = token(secret=f"{CANARY}-of-somebody-else")
PAYLOAD = {
    "type": "ringback.demo",
    "failForGood": True,
    "phoneNumber": {"twilioAuthToken": CANARY},
    "assistant": {"server": {"secret": CANARY}},
}


@asynccontextmanager
async def broker_user(broker: PrivateBroker, amqp_url: str) -> AsyncGenerator[str]:
    """The address of the virtual host for a user whose password is the canary."""
    vhost = quote(unquote(urlsplit(amqp_url).path[1:]), safe="")
    async with broker.management() as api:
        user = {"password": CANARY, "tags": "administrator"}
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        async with api.put(f"/api/users/{USER}", json=user) as made:
            assert made.ok
        async with api.put(f"/api/permissions/{vhost}/{USER}", json=rights) as given:
            assert given.ok
        try:
            yield f"amqp://{USER}:{CANARY}@127.0.0.1:{broker.ports.amqp}/{vhost}"
        finally:
            await api.delete(f"/api/users/{USER}")


@asynccontextmanager
async def database_user(database_url: str) -> AsyncGenerator[str]:
    """The address of the database for a superuser whose password is the canary."""
    place = urlsplit(database_url)
    server = place._replace(path="/postgres").geturl()
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE ROLE \"{USER}\" SUPERUSER LOGIN PASSWORD '{CANARY}'")
        yield place._replace(netloc=f"{USER}:{CANARY}@{place.hostname}:{place.port}").geturl()
    finally:
        await connection.execute(f'DROP ROLE IF EXISTS "{USER}"')
        await connection.close()


async def no_longer_known(broker: PrivateBroker) -> None:
    """From now on the broker refuses the user, whose connections it closes."""
    async with (
        broker.management() as api,
        api.delete(f"/api/users/{USER}") as gone,
    ):
        assert gone.ok


async def shut_database(database_url: str) -> None:
    """From now on it refuses new connections and closes existing ones."""
    name = urlsplit(database_url).path[1:]
    connection = await asyncpg.connect(database_url.replace(name, "postgres"))
    try:
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
    finally:
        await connection.close()


async def answers_of(whole: Whole) -> list[str]:
    """Send a wrong secret, a right one and foreign tokens to each API, and return the answers."""
    said = []
    for secret, document in (
        (f"{CANARY}-guessed", PAYLOAD),
        (CANARY, PAYLOAD),
        (CANARY, {"no type": CANARY}),
    ):
        headers = {"X-Vapi-Secret": secret, "Content-Type": "application/json"}
        async with whole.http.post(
            whole.gateway_url, data=json.dumps(document), headers=headers
        ) as answer:
            said.append(f"{answer.status} {answer.headers} {await answer.text()}")
    for authorization in (f"Bearer {BAD_TOKEN}", f"Bearer {CANARY}", f"Basic {CANARY}"):
        url = f"{whole.rest_url}/api/webhook-metrics/queue-health"
        async with whole.http.get(url, headers={"Authorization": authorization}) as answer:
            said.append(f"{answer.status} {answer.headers} {await answer.text()}")
        said.append(await grpc_error(whole, authorization))
    for name, port in whole.observability_ports.items():
        for path in ("metrics", "readyz"):
            async with whole.http.get(f"http://127.0.0.1:{port}/{path}") as answer:
                said.append(f"{name} {await answer.text()}")
    return said


async def grpc_error(whole: Whole, authorization: str) -> str:
    async with grpc.aio.insecure_channel(whole.grpc_address) as channel:
        try:
            await MetricsServiceStub(channel).GetQueueHealth(
                GetQueueHealthRequest(), metadata=(("authorization", authorization),)
            )
        except grpc.aio.AioRpcError as exc:
            return repr(exc)
    raise AssertionError("It was let in.")


def written_by(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.*l*")}


@pytest.mark.slow
async def test_no_secret_is_said_while_all_goes_wrong(
    broker: PrivateBroker, amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """Neither logs nor traces, answers nor metrics contain a secret or a payload."""
    async with (
        broker_user(broker, amqp_url) as url_of_user,
        database_user(database_url) as with_password,
    ):
        settings = {
            "RINGBACK_AMQP_URL": url_of_user,
            "RINGBACK_VAPI_SECRET": CANARY,
            "RINGBACK_JWT_SECRET": CANARY,
            "RINGBACK_SLACK_WEBHOOK_URL": f"http://127.0.0.1:1/{CANARY}",
            "RINGBACK_SLACK_BATCH_WINDOW_S": "0",
            "RINGBACK_TRACE_FILE": str(tmp_path / "traces.jsonl"),
            "RINGBACK_LOG_LEVEL": "debug",
        }
        async with whole_ringback(amqp_url, with_password, tmp_path, **settings) as whole:
            said = await answers_of(whole)
            await eventually(lambda: slack_failed(whole), deadline_s=20)
            await no_longer_known(broker)
            await shut_database(database_url)
            await eventually(lambda: none_ready(whole), deadline_s=20)
            assert {name: one.poll() for name, one in whole.processes.items()} == dict.fromkeys(
                SERVICES
            )
            said += await answers_of(whole)
            await eventually(lambda: both_are_told(tmp_path), deadline_s=20)
    written = written_by(tmp_path)

    assert {f"{name}.log" for name in SERVICES} | {"traces.jsonl"} <= written.keys()
    assert [text for text in said if "canary" in text] == []
    assert [name for name, text in written.items() if "canary" in text] == []
    assert not any(BAD_TOKEN in text for text in (*said, *written.values()))


async def slack_failed(whole: Whole) -> bool:
    return await whole.metric("metrics", "ringback_slack_messages_total") > 0


async def none_ready(whole: Whole) -> bool:
    return not any([await whole.is_ready(name) for name in ("processor", "metrics")])


def both_are_told(folder: Path) -> bool:
    """Each service has lost the broker or the database, and reports it."""
    return all("broker." in (folder / f"{name}.log").read_text() for name in SERVICES)
