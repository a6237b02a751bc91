"""`ringback send` with a fake gateway."""

import asyncio
import signal
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpRawServer

from ringback import samples
from ringback.contract.identity import new_job_id
from tests.integration.cli.command import begin, ended, ringback
from tests.support.eventually import eventually
from tests.unit.cli.test_untrusted_text import HOSTILE, assert_harmless


class FakeGateway:
    """Answers with `status`, and keeps what it received. Without a status it never answers."""

    def __init__(self) -> None:
        self.status: int | None = 200
        self.job_id = str(new_job_id())
        self.bodies: list[bytes] = []
        self.secrets: set[str | None] = set()
        self.in_flight = 0
        self.max_in_flight = 0
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        assert (request.method, request.path) == ("POST", "/api/webhooks/vapi")
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self.bodies.append(await request.read())
        self.secrets.add(request.headers.get("X-Vapi-Secret"))
        await (asyncio.sleep(0) if self.status else asyncio.Event().wait())
        self.in_flight -= 1
        if self.status != 200:
            problem = {"title": "No", "detail": HOSTILE}
            return web.json_response(problem, status=self.status or 500)
        return web.json_response({"success": True, "jobId": self.job_id})


@pytest.fixture
async def gateway(aiohttp_raw_server: AiohttpRawServer) -> FakeGateway:
    fake = FakeGateway()
    fake.url = str((await aiohttp_raw_server(fake.answer)).make_url("/"))
    return fake


async def test_copies_are_different_events_with_current_times(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    """With the secret, and at most `--concurrency` requests in flight."""
    sent = await ringback(
        *("send", "end-of-call-report", "--count", "100", "--concurrency", "7"),
        cwd=tmp_path,
        RINGBACK_GATEWAY_URL=gateway.url,
        RINGBACK_VAPI_SECRET="s3cret",
    )

    recorded = orjson.loads(samples.sample("end-of-call-report"))["message"]
    messages = [orjson.loads(body)["message"] for body in gateway.bodies]
    assert sent.status == 0
    assert len(messages) == len({message["call"]["id"] for message in messages}) == 100
    assert gateway.max_in_flight <= 7
    assert gateway.secrets == {"s3cret"}
    assert "s3cret" not in sent.out + sent.err
    assert messages[0]["timestamp"] > recorded["timestamp"]
    assert messages[0]["startedAt"] > recorded["startedAt"]
    assert messages[0]["durationMs"] == recorded["durationMs"]


async def test_rejections_are_counted_with_their_reason_as_text(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    """A reason may contain anything, and so may what should be a job id."""
    send = ("send", "hang", "--count", "5", "--url", gateway.url)
    gateway.job_id = HOSTILE

    strange = await ringback(*send, cwd=tmp_path)
    gateway.status = 503
    rejected = await ringback(*send, cwd=tmp_path, COLUMNS="3000")

    assert strange.status == rejected.status == 1
    assert_harmless(strange.out, shows="200 without a job id")
    assert "rejected 503" in rejected.out
    assert_harmless(rejected.out)


async def test_a_rate_is_not_exceeded(gateway: FakeGateway, tmp_path: Path) -> None:
    """The last of 100 webhooks at 200 per second is due after 495 ms."""
    sent = await ringback(
        "send", "hang", "--count", "100", "--rate", "200", "--url", gateway.url, cwd=tmp_path
    )

    [took] = [line.split() for line in sent.out.splitlines() if line.startswith("took")]
    took_s = float(took[1]) if took[2].startswith("s") else float(took[1]) / 1000
    assert sent.status == 0
    assert took_s >= 0.49


@pytest.mark.slow
async def test_ctrl_c_prints_the_summary_so_far(gateway: FakeGateway, tmp_path: Path) -> None:
    process = await begin(
        "send", "hang", "--count", "100000", "--rate", "50", "--url", gateway.url, cwd=tmp_path
    )
    await eventually(lambda: len(gateway.bodies) > 5, deadline_s=60)

    process.send_signal(signal.SIGINT)
    sent = await ended(process)

    assert sent.status == 130
    assert f"accepted      {len(gateway.bodies)}" in sent.out


@pytest.mark.slow
async def test_a_second_ctrl_c_does_not_wait(gateway: FakeGateway, tmp_path: Path) -> None:
    """The gateway never answers; the summary is printed all the same."""
    gateway.status = None
    process = await begin("send", "hang", "--url", gateway.url, cwd=tmp_path)
    await eventually(lambda: gateway.in_flight > 0, deadline_s=60)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    async with asyncio.timeout(60):
        hint = await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    sent = await ended(process)

    assert hint.startswith(b"Stopping. Press Ctrl-C again")
    assert sent.status == 130
    assert "interrupted" in sent.out
