"""Heads up to 32 KiB and 200 headers are taken; beyond, the sender gets to see why not."""

import asyncio

from tests.integration.gateway.running_gateway import PATH, SECRET, RunningGateway

KIB = 1024
BODY = b'{"type":"hang"}'
START = (
    f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {SECRET}\r\n"
    f"Content-Length: {len(BODY)}\r\nConnection: close\r\n"
).encode()
TOO_LARGE = b"HTTP/1.1 431 "


def head_of(size_bytes: int, *, start: bytes = START, line_bytes: int = 200) -> bytes:
    """One that is exactly so large, of lines that are at least so long."""
    head, left = start, size_bytes - len(start) - 2
    while left:
        length = line_bytes if left >= 2 * line_bytes else left
        head += b"X: " + b"y" * (length - 5) + b"\r\n"
        left -= length
    return head + b"\r\n"


async def test_a_large_head_is_taken(gateway: RunningGateway) -> None:
    """Of many headers, of a long one, with a long query; in one piece and in two."""
    long_query = START.replace(PATH.encode(), PATH.encode() + b"?" + b"q" * 30_000)
    for head in (
        head_of(32 * KIB),
        head_of(32 * KIB, line_bytes=30_000),
        long_query + b"\r\n",
        START + b"".join(b"X-%d: y\r\n" % number for number in range(196)) + b"\r\n",
    ):
        for cut in (len(head), 100, 20_000, len(head) - 1):
            answer = await gateway.send_raw(head[:cut], head[cut:] + BODY)
            assert answer.startswith(b"HTTP/1.1 200 "), (head[-50:], cut, answer)


async def test_a_larger_one_is_answered_with_431(gateway: RunningGateway) -> None:
    """However it comes; the answer is not lost in a reset while the sender is still sending."""
    heads = [
        head_of(32 * KIB + 1),
        head_of(40 * KIB, line_bytes=39_000),
        head_of(3000 * KIB),
        START.replace(PATH.encode(), PATH.encode() + b"?" + b"q" * 40_000) + b"\r\n",
        START + b"".join(b"X-%d: y\r\n" % number for number in range(197)) + b"\r\n",
        START + b"X-" + b"y" * 40_000 + b": z\r\n\r\n",
    ]
    for head in heads:
        for cut in (len(head), 100, 20_000):
            answer = await gateway.send_raw(head[:cut], head[cut:] + BODY)
            assert answer.startswith((TOO_LARGE, b"HTTP/1.0 431 ")), (head[-50:], cut, answer)
            assert b"application/problem+json" in answer
            assert b"200 headers" in answer
            assert answer.count(b"HTTP/1.") == 1
    counted = await gateway.metric("webhook_connections_cut_total", reason="large_head")
    assert counted == 3 * len(heads)


async def test_an_earlier_request_is_answered_first(gateway: RunningGateway) -> None:
    """Also when the head that follows it is too large, whole or not."""
    first = START.replace(b"Connection: close\r\n", b"") + b"\r\n" + BODY
    for following in (head_of(33 * KIB), head_of(3000 * KIB)[:-2]):
        answer = await gateway.send_raw(first, following)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert b"HTTP/1.1 431 " in answer or b"HTTP/1.0 431 " in answer


async def test_several_that_are_too_large_get_one_answer(gateway: RunningGateway) -> None:
    """They came in one write; after the first nothing more is read."""
    kept_alive = START.replace(b"Connection: close\r\n", b"")
    answer = await gateway.send_raw((head_of(33 * KIB, start=kept_alive) + BODY) * 3)

    assert answer.count(b"HTTP/1.") == answer.count(b" 431 ") == 1, answer


async def test_who_is_refused_while_sending_gets_to_see_it(gateway: RunningGateway) -> None:
    """Something that is not HTTP at all, of 3 MB."""
    answer = await gateway.send_raw(b"\x16\x03\x01" + b"x" * 3_000_000)

    assert b"application/problem+json" in answer


async def test_a_body_whose_framing_breaks_is_refused_at_once(gateway: RunningGateway) -> None:
    """Nothing more can come of it, so nobody waits for the rest."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {SECRET}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    ).encode()

    async with asyncio.timeout(8):  # A body may take 10 s.
        answer = await gateway.send_raw(head, b"nonsense\r\n")

    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"body is incomplete" in answer
