"""Deviations that are tolerated, because senders never retry a rejected webhook."""

import asyncio
import codecs
import gzip
import json
import re
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from structlog.testing import capture_logs

from ringback.services.gateway.instruments import Deviation, DeviationLog
from tests.support.gateway_client import DEFAULT_ORG, PATH, SECRET
from tests.unit.gateway.serving import HANG, START, ServedGateway, serving

WITH_EXTRAS = b'{"message":{"type":"hang","new":1},"more":[null]}'


ODD_TEXT = '{"type":"hang","y":"ä"}'
ANSWER_OK = re.compile(rb"\AHTTP/1\.[01] 200 ")


def request(
    body: bytes = HANG,
    *,
    line: str = f"POST {PATH} HTTP/1.1",
    content_type: str | None = "application/json",
    headers: str = "",
    host: str = "Host: x\r\n",
) -> bytes:
    kind = "" if content_type is None else f"Content-Type: {content_type}\r\n"
    head = (
        f"{line}\r\n{host}X-Vapi-Secret: {SECRET}\r\n{kind}{headers}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode(errors="surrogateescape") + body


KEPT_ALIVE = request().replace(b"Connection: close\r\n", b"")
UTF_16, LATIN_1 = HANG.decode().encode("utf-16-be"), ODD_TEXT.encode("latin-1")
TWICE = "User-Agent: a\r\nuser-agent: b\r\nContent-Type: application/json\r\nETag: x\r\nETag: y\r\n"


@pytest.fixture
async def acme_gateway() -> AsyncIterator[ServedGateway]:
    """A gateway with a second endpoint."""
    acme = {"acme": {"org_id": DEFAULT_ORG, "secret": SECRET}}
    async with serving(endpoints=json.dumps(acme)) as started:
        yield started


PATHS = {
    "default": [
        *(f"{PATH}/", f"/{PATH}", f"//{PATH}//", "/api//webhooks/vapi", f"{PATH}/?x=y"),
        *(f"{PATH}?x=/y/", f"{PATH}%20", f"{PATH}/default/", "/api/./webhooks/x/../vapi"),
        *("/%61pi/webhooks/vapi%2F", f"https://somewhere:443{PATH}?x"),
    ],
    "acme": [
        *(f"{PATH}/acme/", f"{PATH}//acme", f"{PATH}/%61cme", f"{PATH}%2Facme"),
        f"http://somewhere{PATH}/acme/",
    ],
}


@pytest.mark.parametrize("endpoint", PATHS)
async def test_variants_of_a_path_are_accepted(acme_gateway: ServedGateway, endpoint: str) -> None:
    """Extra slashes, percent-encoding, a query and the absolute form."""
    for path in PATHS[endpoint]:
        answer = await acme_gateway.send_raw(request(line=f"POST {path} HTTP/1.1"))

        assert ANSWER_OK.search(answer), (path, answer)
        assert acme_gateway.take()[0].endpoint_id == endpoint, path


@pytest.mark.parametrize(
    ("data", "meant"),
    [
        # JSON of any content type.
        *(
            (request(content_type=content_type), HANG)
            for content_type in (
                *(None, "", "text/plain; charset=utf-8", "application/x-www-form-urlencoded"),
                *("application/json, application/json", "application/json; charset=klingon"),
                *("application/json\udcff", "application/json; x=" + "y" * 240),
            )
        ),
        # An event that was recovered: a JSON object in UTF-8, which processors can read.
        (request(codecs.BOM_UTF8 + HANG), HANG),
        (request(UTF_16, content_type="application/json; charset=utf-16be"), HANG),
        (request(b"\r\n\t " + HANG + b" \0"), HANG),
        (request(b"[" + HANG + b"]"), HANG),
        (request(LATIN_1, content_type="application/json; charset=ISO-8859-1"), ODD_TEXT.encode()),
        (request(WITH_EXTRAS), WITH_EXTRAS),
        # The header only shows that the body is compressed. gzip is detected without a header.
        *(
            (request(body, headers=f"Content-Encoding: {coding}\r\n"), HANG)
            for coding, body in (
                ("identity\r\nContent-Encoding: gzip", gzip.compress(HANG)),
                ("Deflate", gzip.compress(HANG)),
                ("gzip", zlib.compress(HANG)),
                ("gzip, gzip", gzip.compress(HANG)),
                ("gzip", HANG),
                ("br", HANG),
            )
        ),
        (request(gzip.compress(HANG)), HANG),
        # Whatever follows it in the same write; the response closes the connection.
        *((data, HANG) for data in (KEPT_ALIVE + b"\0", KEPT_ALIVE + b"POST /\n\n")),
        (request() + b"more", HANG),
        # Headers that a proxy repeats, if they do not affect where a request ends.
        (request(headers=TWICE), HANG),
    ],
)
async def test_the_event_is_stored(gateway: ServedGateway, data: bytes, meant: bytes) -> None:
    answer = await gateway.send_raw(data)

    assert ANSWER_OK.search(answer), answer
    assert gateway.take()[1] == meant


async def test_an_expectation_is_met_or_ignored(gateway: ServedGateway) -> None:
    """An HTTP/1.0 sender would take the interim response for the final one."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    for version, expect, goes_on in (
        ("1.1", "100-Continue", True),
        ("1.0", "100-continue", False),
        ("1.1", "200-ok", False),
        ("1.1", "", False),
    ):
        line = f"POST {PATH} HTTP/{version}"

        answer = await gateway.send_raw(request(line=line, headers=f"Expect: {expect}\r\n"))

        assert answer.startswith(interim) is goes_on, (version, expect)
        last = answer.removeprefix(interim)
        assert last.startswith(f"HTTP/{version} 200 ".encode()), (version, expect)


async def test_http_1_0_without_a_host_is_kept_alive(gateway: ServedGateway) -> None:
    """If its sender asks for it."""
    line = f"POST {PATH} HTTP/1.0"
    first = request(line=line, host="").replace(b"Connection: close", b"Connection: keep-alive")

    answer = await gateway.send_raw(first + request(line=line, host=""))

    assert answer.count(b"HTTP/1.0 200 ") == 2, answer


async def test_a_kept_connection_gets_the_same_response(gateway: ServedGateway) -> None:
    """The last response differs by `Connection: close` only."""
    answers = await gateway.send_raw(KEPT_ALIVE + request())

    heads, job_ids = [], []
    for answer in answers.decode().split("HTTP/1.1 ")[1:]:
        head, _, body = answer.partition("\r\n\r\n")
        status, *lines = head.split("\r\n")
        headers = dict(line.split(": ") for line in lines)
        date = parsedate_to_datetime(headers.pop("Date"))
        assert abs(datetime.now(UTC) - date) < timedelta(minutes=1)
        assert int(headers["Content-Length"]) == len(body)
        heads.append((status, headers))
        job_ids.append(json.loads(body)["jobId"])
    (status, headers), last = heads
    assert last == (status, headers | {"Connection": "close"})
    assert job_ids == [str(envelope.job_id) for envelope, _ in gateway.broker.published]


async def test_requests_that_follow_a_body_in_pieces_are_answered(gateway: ServedGateway) -> None:
    """Several in one write, which starts with the end of an earlier body."""
    answer = await gateway.send_raw(KEPT_ALIVE[:-5], KEPT_ALIVE[-5:] + KEPT_ALIVE * 2 + request())

    assert answer.count(b"HTTP/1.1 200 ") == 4, answer


CHUNKED = f"{START}Transfer-Encoding: Chunked\r\n\r\n".encode()


async def test_trailers_are_ignored(gateway: ServedGateway) -> None:
    """Also for the next request, which a trailer would make invalid."""
    chunks = CHUNKED + b'5;a=b\r\n{"typ\r\na\r\ne":"hang"}\r\n0\r\nX-A: b\r\nHost: y\r\n\r\n'

    answer = await gateway.send_raw(chunks, request())

    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer.lower()
    assert gateway.take()[1] == HANG


async def test_a_chunked_body_without_trailers_keeps_the_connection(gateway: ServedGateway) -> None:
    """In one piece, and with its end sent separately, as most senders do."""
    pieces = (b'f\r\n{"type":"hang"}\r\n', b"0\r\n\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    for writes in ([CHUNKED + b"".join(pieces)], [CHUNKED, *pieces]) * 2:
        for data in writes:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0.05)
        answer = await reader.readuntil(b"}")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" not in answer.lower()
    writer.close()


async def test_trailers_may_be_split_anywhere(gateway: ServedGateway) -> None:
    """No split makes a trailer look like the end."""
    body = b'f\r\n{"type":"hang"}\r\n0\r\nX: 0\r\n\r\n'
    for cut in range(len(body) - 10, len(body)):
        answer = await gateway.send_raw(CHUNKED + body[:cut], body[cut:])
        assert answer.startswith(b"HTTP/1.1 200 "), (cut, answer)
        assert b"connection: close" in answer.lower(), cut


async def test_duplicate_headers_of_a_proxy_keep_the_connection_open(
    gateway: ServedGateway,
) -> None:
    data = request(headers=TWICE)
    kept_alive = data.replace(b"Connection: close\r\n", b"")

    answer = await gateway.send_raw(kept_alive[:-5], kept_alive[-5:], data)

    assert answer.count(b"HTTP/1.1 200 ") == 2, answer


async def test_deviations_are_counted_and_logged(
    gateway: ServedGateway, capfd: pytest.CaptureFixture[str]
) -> None:
    """By kind, with one line for many."""
    for _ in range(3):
        await gateway.send(HANG, headers={"Content-Type": "text/plain"}, path=PATH + "/")
    await gateway.send(codecs.BOM_UTF8 + HANG, headers={"Content-Encoding": "utf-8"})
    await gateway.send(HANG)
    await gateway.send(b"no event", headers={"Content-Type": "text/plain"})

    for deviation, count in (
        ("path", 3),
        ("content_type", 3),
        ("content_encoding", 1),
        ("body", 1),
    ):
        counted = gateway.metric("webhook_tolerated_total", deviation=deviation)
        assert counted == count, deviation
    assert capfd.readouterr().out.count("webhook.tolerated") == 1


@pytest.mark.parametrize(
    "head",
    [
        pytest.param("Content-Length: 15\r\nTransfer-Encoding: chunked\r\n", id="two lengths"),
        pytest.param("Content-Length: 15\r\nContent-Length: 16\r\n", id="two sizes"),
        pytest.param("Content-Length: 15\r\nHost: y\r\n", id="two hosts"),
        pytest.param("Content-Length: +15\r\n", id="a size that is no number"),
        pytest.param("Content-Length : 15\r\n", id="a blank before the colon"),
        pytest.param("Content-Length: 15\r\nX: a\x00b\r\n", id="NUL in a header"),
    ],
)
async def test_an_ambiguous_head_is_rejected(gateway: ServedGateway, head: str) -> None:
    """A proxy may have read it differently: the end of a request must be certain."""
    answer = await gateway.send_raw(f"{START}{head}\r\n".encode() + HANG)

    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer
    assert b"application/problem+json" in answer


def test_a_line_for_the_first_and_one_a_minute() -> None:
    """For each endpoint; the counts include every webhook."""
    now_s = 0.0
    log = DeviationLog(lambda: now_s)
    with capture_logs() as lines:
        log.add("default", [Deviation.PATH])
        for _ in range(3):
            log.add("default", [Deviation.CONTENT_TYPE])
        log.add("acme", [Deviation.BODY, Deviation.CONTENT_TYPE])
        now_s = 61.0
        log.add("default", [Deviation.PATH])

    assert [(one["endpoint_id"], one["deviations"], one["count"]) for one in lines] == [
        ("default", ["path"], 1),
        ("acme", ["body", "content_type"], 1),
        ("default", ["content_type", "path"], 4),
    ]
