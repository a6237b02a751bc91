"""Any bytes get valid HTTP responses, and the gateway survives."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, example, given, settings

from tests.support.keep_alive import GOOD
from tests.support.loop_thread import LoopThread
from tests.unit.gateway.http.raw_requests import RAW, WHOLE
from tests.unit.gateway.serving import serving

ANSWER = re.compile(rb"HTTP/(?:0\.9|1\.[01]|2\.0) (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
LENGTH = re.compile(rb"(?im)^content-length: (\d+)\r$")
PROBLEM = {"type", "title", "status", "detail"}
REFUSALS = {400, 401, 404, 405, 413, 415, 431}
PATIENCE_S = 120.0

fuzzed = settings(suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a gateway that receives all these examples."""
    loop = LoopThread()
    stack = AsyncExitStack()

    async def start() -> int:
        return (await stack.enter_async_context(serving())).port

    yield loop.run(start())
    loop.run(stack.aclose())
    loop.close()


def responses_to(port: int, data: bytes) -> bytes:
    """Everything that the gateway sends back until the sender has closed its side."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                received += piece
        except ConnectionError:
            pass
    return received


def statuses_in(received: bytes) -> list[int]:
    """The status of each response. All are complete; all but 100 and 200 are problem documents."""
    statuses = []
    while received:
        head = ANSWER.match(received)
        assert head, received[:300]
        received = received[head.end() :]
        status = int(head[1])
        if status == 100:
            continue
        statuses.append(status)
        length = LENGTH.search(head[2])
        assert length, head[2]
        # A response to HEAD has a Content-Length, but no body.
        if received[:1] != b"{":
            continue
        body, received = received[: int(length[1])], received[int(length[1]) :]
        document = json.loads(body)
        assert document.keys() == ({"success", "jobId"} if status == 200 else PROBLEM)
    return statuses


@fuzzed
@given(data=RAW)
@example(data=b"")
@example(data=b"\r\n" * 100)
@example(data=b"CONNECT  \r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
@example(data=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
@example(data=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
@example(
    data=b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" + GOOD
)
def test_any_bytes_get_a_valid_response(port: int, data: bytes) -> None:
    """200, or a rejection with its reason; nothing fails, and no response is truncated."""
    assert set(statuses_in(responses_to(port, data))) <= REFUSALS | {200}


@fuzzed
@given(data=WHOLE)
def test_a_complete_request_gets_one_response(port: int, data: bytes) -> None:
    """Whatever its headers and its body contain."""
    assert len(statuses_in(responses_to(port, data))) == 1


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    """Also after the sender has closed its side."""
    assert statuses_in(responses_to(port, GOOD * 20)) == [200] * 20


def test_it_still_accepts_webhooks(port: int) -> None:
    """Nothing that was sent before did any harm."""
    assert statuses_in(responses_to(port, GOOD)) == [200]
