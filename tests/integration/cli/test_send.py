"""`ringback send` against a gateway that answers what the test wants."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ringback import samples
from ringback.contract.identity import new_job_id
from tests.integration.cli.command import begin, ended, ringback
from tests.support.eventually import eventually


class FakeGateway:
    """Accepts, unless `status` says otherwise, and keeps what it was sent."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[bytes] = []
        self.secrets: set[str | None] = set()
        self.in_flight = 0
        self.max_in_flight = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self.bodies.append(await request.read())
        self.secrets.add(request.headers.get("X-Vapi-Secret"))
        await asyncio.sleep(0)
        self.in_flight -= 1
        if self.status != 200:
            problem = {"title": "No", "detail": "The broker did not confirm in time."}
            return web.json_response(problem, status=self.status)
        return web.json_response({"success": True, "jobId": str(new_job_id())})


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    fake = FakeGateway()
    app = web.Application()
    app.router.add_post("/api/webhooks/vapi", fake.answer)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("/"))
        yield fake


async def test_every_copy_is_sent_once_and_is_another_event(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    """As many as asked for arrive, no two alike, at most so many at once, with the secret."""
    sent = await ringback(
        "send", "hang", "--count", "300", "--concurrency", "7",
        cwd=tmp_path, RINGBACK_GATEWAY_URL=gateway.url, RINGBACK_VAPI_SECRET="s3cret",
    )  # fmt: skip

    calls = {orjson.loads(body)["message"]["call"]["id"] for body in gateway.bodies}
    assert sent.status == 0
    assert len(gateway.bodies) == len(calls) == 300
    assert gateway.max_in_flight <= 7
    assert gateway.secrets == {"s3cret"}
    assert "s3cret" not in sent.out + sent.err


async def test_same_sends_the_bytes_of_the_file(gateway: FakeGateway, tmp_path: Path) -> None:
    """With --same a file goes as it is, every time, whatever is in it."""
    (tmp_path / "odd.json").write_bytes(b' {"type": "hang"}\n')

    sent = await ringback(
        "send", "odd.json", "--same", "--count", "3", "--url", gateway.url, cwd=tmp_path
    )

    assert sent.status == 0
    assert gateway.bodies == [b' {"type": "hang"}\n'] * 3


async def test_one_refusal_is_a_failure_and_is_explained(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    """The summary counts refusals by status, with the gateway's own words; the status is 1."""
    gateway.status = 503

    sent = await ringback("send", "hang", "--count", "5", "--url", gateway.url, cwd=tmp_path)

    assert sent.status == 1
    assert "rejected 503" in sent.out
    assert "The broker did not confirm in time." in sent.out


async def test_a_rate_is_kept(gateway: FakeGateway, tmp_path: Path) -> None:
    """100 webhooks at 200 per second take half a second: the last is due after 99 steps of 5 ms.

    The clock of the loop may be a tick early.
    """
    sent = await ringback(
        "send", "hang", "--count", "100", "--rate", "200", "--url", gateway.url, cwd=tmp_path
    )

    took = next(line for line in sent.out.splitlines() if line.startswith("took"))
    assert sent.status == 0
    assert int(took.split()[1]) >= 490


async def test_ctrl_c_gives_the_summary_so_far(gateway: FakeGateway, tmp_path: Path) -> None:
    """An interrupt ends the sending, not the telling; the status is that of an interrupt."""
    process = await begin(
        "send", "hang", "--count", "100000", "--rate", "50", "--url", gateway.url, cwd=tmp_path
    )
    await eventually(lambda: len(gateway.bodies) > 5)

    process.send_signal(signal.SIGINT)
    sent = await ended(process)

    assert sent.status == 130
    assert f"accepted      {len(gateway.bodies)}" in sent.out


async def test_a_gateway_that_hangs_can_be_left(tmp_path: Path) -> None:
    """A second Ctrl-C does not wait for answers, and still gives the summary."""
    asked = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/api/webhooks/vapi", never)
    async with TestServer(app) as server:
        process = await begin("send", "hang", "--url", str(server.make_url("/")), cwd=tmp_path)
        await asked.wait()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        async with asyncio.timeout(60):
            hint = await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        sent = await ended(process)

    assert hint == b"Stopping. Press Ctrl-C again to quit without waiting for requests in flight.\n"
    assert sent.status == 130
    assert "interrupted" in sent.out


async def test_samples_are_sent_as_of_now(gateway: FakeGateway, tmp_path: Path) -> None:
    """A sample's times are moved to now, with what lies between them kept."""
    await ringback("send", "end-of-call-report", "--url", gateway.url, cwd=tmp_path)

    recorded = orjson.loads(samples.sample("end-of-call-report"))["message"]
    sent = orjson.loads(gateway.bodies[0])["message"]
    assert sent["timestamp"] > recorded["timestamp"]
    assert sent["startedAt"] > recorded["startedAt"]
    assert sent["durationMs"] == recorded["durationMs"]
