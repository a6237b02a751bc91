"""What `ringback send` sends from a file, and how it names the reasons of a failed connection."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from tests.support.loop_thread import LoopThread
from tests.unit.cli.command import Ringback

pytestmark = pytest.mark.usefixtures("no_settings")

TOLERATED = b'\xef\xbb\xbf[{"message": {"type": "hang"}}]'
"""A byte order mark and a list of one: the gateway recovers the event."""


class Gateway:
    """Accepts every body over plain HTTP, if the sender has the secret."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.url = ""
        self.secret: str | None = None

    async def accept(self, request: web.BaseRequest) -> web.Response:
        if request.headers.get("X-Vapi-Secret") != self.secret:
            return web.json_response({"detail": "Not proven."}, status=401)
        self.bodies.append(await request.read())
        return web.json_response({"jobId": "019bfe18-fd80-7000-8000-000000000001"})


@pytest.fixture
def gateway(loop_thread: LoopThread) -> Iterator[Gateway]:
    made = Gateway()
    server = RawTestServer(made.accept)
    loop_thread.run(server.start_server())
    made.url = str(server.make_url("/"))
    yield made
    loop_thread.run(server.close())


def test_a_file_that_the_gateway_tolerates_is_sent_unchanged(
    gateway: Gateway, ringback: Ringback
) -> None:
    """Copies need ids of their own, so several are refused, with the next step."""
    Path("odd.json").write_bytes(TOLERATED)
    words = ("send", "odd.json", "--url", gateway.url)

    one, two = ringback(*words), ringback(*words, "--count", "2")

    assert (one.status, gateway.bodies) == (0, [TOLERATED])
    assert two.status == 2
    assert "Use --same to send it unchanged" in two.error


def test_tls_to_a_plain_port_is_named(gateway: Gateway, ringback: Ringback) -> None:
    """Its number in the TLS library is that of another error of the system."""
    ended = ringback("send", "hang", "--url", gateway.url.replace("http", "https"))

    assert ended.status == 1
    assert "is it an http:// address?" in ended.error
    assert "permitted" not in ended.error


def test_a_missing_secret_is_named_with_its_setting(gateway: Gateway, ringback: Ringback) -> None:
    gateway.secret = "hunter2"

    ended = ringback("send", "hang", "--url", gateway.url)

    assert ended.status == 1
    assert "401: Not proven. Set RINGBACK_VAPI_SECRET" in ended.out
