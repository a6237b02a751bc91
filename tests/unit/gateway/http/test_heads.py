"""Heads of up to 32 KiB and 200 headers are accepted; others get a visible error."""

from tests.support.gateway_client import PATH
from tests.unit.gateway.serving import HANG, START, ServedGateway

KIB = 1024
KEPT_ALIVE = f"{START}Content-Length: {len(HANG)}\r\n".encode()
CLOSING = KEPT_ALIVE + b"Connection: close\r\n"
TOO_LARGE = b"HTTP/1.1 431 "


def head_of(size_bytes: int, *, start: bytes = CLOSING, line_bytes: int = 200) -> bytes:
    """A head of exactly this size, with lines of at least this size."""
    left = size_bytes - len(start) - 2
    count = max(left // line_bytes - 1, 0)
    lines = [
        b"X: " + b"y" * (length - 5) + b"\r\n" for length in (line_bytes, left - count * line_bytes)
    ]
    return start + lines[0] * count + lines[1] + b"\r\n"


async def test_a_large_head_is_accepted(gateway: ServedGateway) -> None:
    """Many headers, a long header or a long query; in one piece and in two."""
    long_query = CLOSING.replace(PATH.encode(), PATH.encode() + b"?" + b"q" * 30_000)
    for head in (
        head_of(32 * KIB),
        head_of(32 * KIB, line_bytes=30_000),
        long_query + b"\r\n",
        CLOSING + b"".join(b"X-%d: y\r\n" % number for number in range(196)) + b"\r\n",
    ):
        for cut in (len(head), 100, 20_000, len(head) - 1):
            answer = await gateway.send_raw(head[:cut], head[cut:] + HANG)
            assert answer.startswith(b"HTTP/1.1 200 "), (head[-50:], cut, answer)


async def test_a_larger_head_gets_431(gateway: ServedGateway) -> None:
    """However it arrives; no reset hides the response while the sender is sending."""
    heads = [
        head_of(32 * KIB + 1),
        head_of(40 * KIB, line_bytes=39_000),
        head_of(3000 * KIB),
        CLOSING.replace(PATH.encode(), PATH.encode() + b"?" + b"q" * 40_000) + b"\r\n",
        CLOSING + b"".join(b"X-%d: y\r\n" % number for number in range(197)) + b"\r\n",
        CLOSING + b"X-" + b"y" * 40_000 + b": z\r\n\r\n",
    ]
    for head in heads:
        for cut in (len(head), 20_000):
            answer = await gateway.send_raw(head[:cut], head[cut:] + HANG)
            assert answer.startswith((TOO_LARGE, b"HTTP/1.0 431 ")), (head[-50:], cut, answer)
            assert b"application/problem+json" in answer
            assert b"200 headers" in answer
            assert answer.count(b"HTTP/1.") == 1
    counted = gateway.metric("webhook_connections_closed_total", reason="large_head")
    assert counted == 2 * len(heads)


async def test_an_earlier_request_is_answered_first(gateway: ServedGateway) -> None:
    """Also if the next head is too large, complete or not."""
    first = KEPT_ALIVE + b"\r\n" + HANG
    for following in (head_of(33 * KIB), head_of(3000 * KIB)[:-2]):
        answer = await gateway.send_raw(first, following)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert b"HTTP/1.1 431 " in answer or b"HTTP/1.0 431 " in answer


async def test_several_large_heads_get_one_response(gateway: ServedGateway) -> None:
    """After the first one in a write, the rest is ignored."""
    answer = await gateway.send_raw((head_of(33 * KIB, start=KEPT_ALIVE) + HANG) * 3)

    assert answer.count(b"HTTP/1.") == answer.count(b" 431 ") == 1, answer


async def test_a_sender_sees_its_rejection_while_sending(gateway: ServedGateway) -> None:
    """3 MB of something that is not HTTP."""
    answer = await gateway.send_raw(b"\x16\x03\x01" + b"x" * 3_000_000)

    assert b"application/problem+json" in answer


async def test_a_body_with_broken_framing_is_rejected_at_once(gateway: ServedGateway) -> None:
    """There is nothing left to wait for: not with 408 after the time that a body may take."""
    head = f"{START}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".encode()

    answer = await gateway.send_raw(head, b"nonsense\r\n")

    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"body is incomplete" in answer
