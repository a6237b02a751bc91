"""Bytes that anyone might send to an HTTP port: almost valid requests, and garbage."""

import zlib
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.support.gateway_client import PATH, SECRET

METHODS = st.sampled_from(
    [b"POST"] * 8 + [b"GET", b"PUT", b"HEAD", b"CONNECT", b"OPTIONS", b"PRI", b"post", b"", b"\xff"]
)
PATHS = st.sampled_from(
    [PATH.encode()] * 6
    + [b"/", b"*", b"//x", b"http://x" + PATH.encode(), PATH.encode() + b"?a=b#c", b"/%ff%00", b""]
) | st.binary(max_size=40)
VERSIONS = st.sampled_from(
    [b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/", b""]
)
EVENTS = st.sampled_from(
    [b'{"type":"hang"}', b'{"message":{"type":"hang"}}', b"{}", b"[1]", b"", b'{"type":"\\ud800"}']
)
BODIES = EVENTS | EVENTS.map(zlib.compress) | st.binary(max_size=80)
ODD_NAMES = st.sampled_from(
    [b"Host", b"Expect", b"Upgrade", b"Connection", b"Content-Length", b"Transfer-Encoding",
     b"Content-Encoding", b"Content-Type", b"Authorization", b"X-Vapi-Secret", b"traceparent",
     b"tracestate", b"Sec-WebSocket-Key1", b"X-\xc3\xa4", b" folded", b"x" * 9000, b""]
)  # fmt: skip
ODD_VALUES = st.sampled_from(
    [b"", b"100-continue", b"websocket", b"h2c", b"close", b"keep-alive, upgrade", b"chunked",
     b"gzip", b"deflate", b"br", b"gzip, chunked", b"application/json", b"text/plain", b"0", b"-1",
     b"5, 5", b"99999999999999999999", b"Bearer " + SECRET.encode(), b"Bearer",
     b"\x00", b"\xff\xfe", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01", b"y" * 9000,
     b"a\r\nb: c"]
) | st.binary(max_size=30)  # fmt: skip
ODD_HEADERS = st.lists(st.tuples(ODD_NAMES, ODD_VALUES), max_size=4)


@dataclass(frozen=True)
class Framing:
    """How the end of a body is marked."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


def _chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


FRAMINGS = BODIES.flatmap(
    lambda body: st.sampled_from(
        [
            Framing([(b"Content-Length", b"%d" % len(body))], body),
            Framing([(b"Content-Length", b"%d" % (len(body) + 5))], body),
            Framing([(b"Content-Length", b"%d" % max(0, len(body) - 3))], body),
            Framing([(b"Transfer-Encoding", b"chunked")], _chunked(body, 7)),
            Framing([(b"Transfer-Encoding", b"chunked")], _chunked(body, 7)[:-4]),
            Framing([(b"Transfer-Encoding", b"chunked")], b"ffffffffffffffffff\r\n" + body),
            Framing([(b"Transfer-Encoding", b"chunked")], b"-1\r\n" + body),
            Framing([], body),
        ]
    )
)


def _request(
    method: bytes,
    path: bytes,
    version: bytes,
    odd: list[tuple[bytes, bytes]],
    framing: Framing,
    line_end: bytes,
) -> bytes:
    right = [
        (b"Host", b"x"),
        (b"X-Vapi-Secret", SECRET.encode()),
        (b"Content-Type", b"application/json"),
    ]
    lines = [b": ".join(header) for header in [*right, *framing.headers, *odd]]
    return line_end.join([b" ".join([method, path, version]), *lines, b"", framing.body])


REQUESTS = st.builds(
    _request,
    METHODS,
    PATHS,
    VERSIONS,
    ODD_HEADERS,
    FRAMINGS,
    st.sampled_from([b"\r\n"] * 9 + [b"\n"]),
)


def _cut(data: bytes, place: int) -> bytes:
    return data[: place % (len(data) + 1)]


RAW = (
    REQUESTS
    | st.lists(REQUESTS, min_size=2, max_size=3).map(b"".join)
    | st.builds(_cut, REQUESTS, st.integers(0))
    | st.binary(max_size=300)
)

#: A whole request each, with a body of which the end is known.
WHOLE = st.builds(
    lambda path, odd, body: _request(
        b"POST",
        path,
        b"HTTP/1.1",
        odd,
        Framing([(b"Content-Length", b"%d" % len(body))], body),
        b"\r\n",
    ),
    st.sampled_from([PATH.encode(), b"/elsewhere"]),
    st.lists(
        st.tuples(st.sampled_from([b"X-A", b"traceparent", b"Content-Encoding"]), ODD_VALUES),
        max_size=2,
    ),
    BODIES,
)
