"""A closed-loop HTTP client: each connection posts the next webhook when the last is answered.

Run as a separate process. It prints one line of JSON, and writes the job ids that it got to a file,
one per line. Each body is unique: the call's id is replaced everywhere in it.
"""

import argparse
import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

from ringback.samples import sample

_CALL_ID = b"0198a000-0000-7000-8000-0000000000c1"
_JOB_ID = b'"jobId":'
_JOB_ID_LENGTH = 36
_LAST_ANSWER_WITHIN_S = 30.0


@dataclass(slots=True)
class LoadStats:
    latencies_s: list[float] = field(default_factory=list)
    refused: int = 0
    job_ids: list[bytes] = field(default_factory=list)


class Poster(asyncio.Protocol):
    """One connection. A request is one write, an answer is read as soon as it is complete."""

    def __init__(self, path: str, host: str, until: float, stats: LoadStats) -> None:
        body = sample("end-of-call-report")
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._around_call_id = (head.encode() + body).split(_CALL_ID)
        self._until = until
        self._stats = stats
        self._answer = b""
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._post()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        now = time.perf_counter()
        self._count(head, body, now - self._sent_at)
        self._answer = b""
        if now < self._until:
            self._post()
        else:
            self._transport.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _post(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(str(uuid.uuid4()).encode().join(self._around_call_id))

    def _count(self, head: bytes, body: bytes, latency_s: float) -> None:
        if not head.startswith(b"HTTP/1.1 200"):
            self._stats.refused += 1
            return
        self._stats.latencies_s.append(latency_s)
        _, found, rest = body.partition(_JOB_ID)
        if found:
            self._stats.job_ids.append(rest.strip(b' "')[:_JOB_ID_LENGTH])


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0] or 0)


async def post(url: str, seconds: float, connections: int) -> tuple[LoadStats, float]:
    """Post for so long over so many connections; returns the stats and the seconds it took."""
    target = urlsplit(url)
    assert target.hostname
    assert target.port
    stats, loop, begun = LoadStats(), asyncio.get_running_loop(), time.perf_counter()
    until = begun + seconds
    posters = [
        (
            await loop.create_connection(
                lambda: Poster(target.path, target.netloc, until, stats),
                target.hostname,
                target.port,
            )
        )[1]
        for _ in range(connections)
    ]
    async with asyncio.timeout(seconds + _LAST_ANSWER_WITHIN_S):
        await asyncio.gather(*(poster.done for poster in posters))
    return stats, time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--job-ids", type=Path, required=True)
    options = parser.parse_args()
    stats, seconds = uvloop.run(post(options.url, options.seconds, options.connections))
    options.job_ids.write_bytes(b"\n".join(stats.job_ids))
    ordered = sorted(stats.latencies_s) or [0.0]
    answer = {
        "accepted": len(stats.latencies_s),
        "refused": stats.refused,
        "per_second": len(stats.latencies_s) / seconds,
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
