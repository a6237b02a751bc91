"""A client that posts webhooks at a constant rate, or as fast as they are answered.

It runs as its own process. It writes a line for each webhook: the call's id, when it was due and
when it was answered, in seconds since 1970, and the status (0 if there was no answer). At a
constant rate it does not wait for answers: a webhook that is due while all connections wait opens
another connection.
"""

import argparse
import asyncio
import sys
import time
import uuid
from collections import deque
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.bodies import CALL_ID, body
from benchmarks.wrk import CellError

FAILING = "fa11"
"""The handlers of all systems fail twice for a call whose id begins with this."""

_MOST_CONNECTIONS = 1_000
_LAST_ANSWER_WITHIN_S = 60.0

HANGING = "hanging"
"""The handler of Ringback never returns for a webhook of this endpoint."""


class Client:
    """What the connections share."""

    def __init__(self, urls: list[str], size: str, failing_every: int = 0) -> None:
        target = urlsplit(urls[0])
        self.requests = [_request(url, size) for url in urls]
        """For each URL, what is before and after the call's id. They are used in turn."""
        self.host, self.port = target.hostname or "", target.port or 80
        # A random id must not begin like those that fail.
        self.prefix = f"0{str(uuid.uuid4())[1:24]}"
        self.failing_every = failing_every
        self.sent = 0
        self.waiting: deque[float] = deque()
        """Due times of webhooks for which there was no connection."""
        self.idle: list[Connection] = []
        self.opened = 0
        self.lines: list[str] = []

    def call_id(self, number: int) -> str:
        fails = self.failing_every and number % self.failing_every == 0
        return f"{FAILING if fails else self.prefix[:4]}{self.prefix[4:]}{number:012x}"

    async def open(self) -> None:
        self.opened += 1
        await asyncio.get_running_loop().create_connection(
            lambda: Connection(self), self.host, self.port
        )

    def post(self, due: float) -> None:
        if self.idle:
            self.idle.pop().post(due)
            return
        self.waiting.append(due)
        if self.opened < _MOST_CONNECTIONS:
            asyncio.ensure_future(self.open())  # ruff: ignore[asyncio-dangling-task]

    def free(self, connection: "Connection") -> None:
        if self.waiting:
            connection.post(self.waiting.popleft())
        else:
            self.idle.append(connection)

    async def answered(self, count: int) -> None:
        deadline = time.monotonic() + _LAST_ANSWER_WITHIN_S
        while True:
            if len(self.lines) >= count or time.monotonic() > deadline:
                return
            await asyncio.sleep(0.01)


class Connection(asyncio.Protocol):
    def __init__(self, client: Client) -> None:
        self._client = client
        self._answer = b""
        self._call_id = ""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._client.free(self)

    def post(self, due: float) -> None:
        client = self._client
        client.sent += 1
        self._call_id, self._due = client.call_id(client.sent), due
        parts = client.requests[client.sent % len(client.requests)]
        self._transport.write(self._call_id.encode().join(parts))

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, separator, content = self._answer.partition(b"\r\n\r\n")
        if not separator or len(content) < content_length(head):
            return
        self._answer = b""
        self._ended(int(head[9:12]))
        self._client.free(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._call_id:
            self._ended(0)
        self._client.opened -= 1
        if self in self._client.idle:
            self._client.idle.remove(self)

    def _ended(self, status: int) -> None:
        self._client.lines.append(f"{self._call_id} {self._due} {time.time()} {status}")
        self._call_id = ""


def _request(url: str, size: str) -> list[bytes]:
    target, content = urlsplit(url), body(size)
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return (head.encode() + content).split(CALL_ID)


def content_length(head: bytes) -> int:
    """The Content-Length in the head of an answer."""
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0] or 0)


async def post_all(client: Client, count: int, connections: int) -> None:
    """Post `count` webhooks as fast as they are answered."""
    client.waiting.extend([time.time()] * count)
    for _ in range(connections):
        await client.open()
    await client.answered(count)


async def post_at_rate(client: Client, per_s: float, seconds: float) -> None:
    """Post at a constant rate, however long the answers take."""
    for _ in range(16):
        await client.open()
    begun, count = time.time() + 0.1, round(per_s * seconds)
    for number in range(count):
        due = begun + number / per_s
        if (delay := due - time.time()) > 0:
            await asyncio.sleep(delay)
        client.post(due)
    await client.answered(count)


async def posted(folder: Path, url: str, size: str, *options: str) -> dict[str, float]:
    """Run this client, and return the due times of the accepted webhooks."""
    rows = await run_client(folder, url, size, *options)
    accepted = {call_id: float(due) for call_id, due, _, status in rows if status == "200"}
    if not accepted:
        raise CellError("No webhook was accepted.")
    return accepted


async def run_client(folder: Path, url: str, size: str, *options: str) -> list[list[str]]:
    """Run this client, and return the words of its lines."""
    file = folder / f"sent-{uuid.uuid4()}.txt"
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load", url, str(file), f"--size={size}", *options),
        cwd=Path(__file__).parents[1],
    )
    try:
        if await client.wait():
            raise CellError("The load client failed; its error is above.")
    finally:
        if client.returncode is None:
            client.kill()
    lines = (await asyncio.to_thread(file.read_text, encoding="utf-8")).splitlines()
    file.unlink()
    return [line.split() for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("urls", help="of one server, separated by commas")
    parser.add_argument("file", type=Path, help="gets a line for each webhook")
    parser.add_argument("--size", default="16.7kB")
    parser.add_argument("--count", type=int)
    parser.add_argument("--failing-every", type=int, default=0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--per-s", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    client = Client(given.urls.split(","), given.size, given.failing_every)
    if given.count:
        uvloop.run(post_all(client, given.count, given.connections))
    else:
        uvloop.run(post_at_rate(client, given.per_s, given.seconds))
    given.file.write_text("\n".join(client.lines), encoding="utf-8")


if __name__ == "__main__":
    main()
