"""Posts webhooks to a gateway, many at a time, and counts the answers."""

import asyncio
import io
import itertools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

import aiohttp
import orjson

from ringback.cli.failure import CommandError
from ringback.cli.tally import Tally
from ringback.local.console import printable

_OK = 200
#: aiohttp warns about larger bytes, and accepts a file instead.
_LARGEST_BYTES = 1024 * 1024
_AFTER_ERROR_S = 0.1
_LONGEST_REASON = 200

Bodies = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to post. Without `rate_per_s`, each of the `concurrency` tasks posts without pause."""

    url: str
    headers: Mapping[str, str]
    count: int
    rate_per_s: float | None
    concurrency: int
    timeout_s: float


async def post_all(plan: Plan, bodies: Bodies, tally: Tally, stop: asyncio.Event) -> None:
    """Post `bodies(0)`, `bodies(1)`, … until `plan.count` or `stop`, and count into `tally`.

    With a rate, posts are due at even intervals, independent of the answers, and the time of an
    answer counts from when its post was due. Raises CommandError if the gateway cannot be reached
    at all.
    """
    connector = aiohttp.TCPConnector(limit=plan.concurrency)
    headers = {"Content-Type": "application/json", **plan.headers}
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        skip_auto_headers=("Accept", "Accept-Encoding"),
        timeout=aiohttp.ClientTimeout(total=plan.timeout_s),
    ) as client:
        poster = _Poster(plan, bodies, tally, stop, client)
        began = time.perf_counter()
        try:
            await poster.run(began)
        finally:
            tally.elapsed_s = time.perf_counter() - began


class _Poster:
    def __init__(
        self,
        plan: Plan,
        bodies: Bodies,
        tally: Tally,
        stop: asyncio.Event,
        client: aiohttp.ClientSession,
    ) -> None:
        self._plan = plan
        self._bodies = bodies
        self._tally = tally
        self._stop = stop
        self._client = client
        self._numbers = itertools.count()

    async def run(self, began: float) -> None:
        workers = min(self._plan.concurrency, self._plan.count)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(began))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _work(self, began: float) -> None:
        for number in self._numbers:
            if number >= self._plan.count or self._stop.is_set():
                return
            due = await self._due(number, began)
            if self._stop.is_set():
                return
            await self._post(self._bodies(number), due)

    async def _due(self, number: int, began: float) -> float:
        """Wait until a post is due or `stop` is set; return the time from which it counts."""
        now = time.perf_counter()
        if self._plan.rate_per_s is None:
            return now
        due = began + number / self._plan.rate_per_s
        if due > now:
            try:
                async with asyncio.timeout(due - now):
                    await self._stop.wait()
            except TimeoutError:
                pass
        return due

    async def _post(self, body: bytes, due: float) -> None:
        data = body if len(body) < _LARGEST_BYTES else io.BytesIO(body)
        self._tally.offered += 1
        try:
            async with self._client.post(self._plan.url, data=data) as answer:
                text = await answer.read()
        except aiohttp.ClientConnectorError as exc:
            self._require_reached(exc)
            await self._failed("not connected")
        except TimeoutError:
            await self._failed(f"no answer in {self._plan.timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as exc:
            await self._failed(_words(exc))
        except asyncio.CancelledError:
            self._tally.errors["broken off"] += 1
            raise
        else:
            self._tally.latencies_ms.append((time.perf_counter() - due) * 1000)
            self._answered(answer.status, text)

    def _require_reached(self, exc: aiohttp.ClientConnectorError) -> None:
        """A gateway that never answered is not there; one that disappeared may come back."""
        if not self._tally.answered:
            self._tally.errors["not connected"] += 1
            number = exc.os_error.errno
            reason = f" ({os.strerror(number).lower()})" if number and number > 0 else ""
            raise CommandError(
                f"The gateway at {self._plan.url} cannot be reached{reason}."
            ) from exc

    async def _failed(self, words: str) -> None:
        self._tally.errors[words] += 1
        await asyncio.sleep(_AFTER_ERROR_S)

    def _answered(self, status: int, text: bytes) -> None:
        if status != _OK:
            self._tally.refused[status] += 1
            if status not in self._tally.reasons:
                self._tally.reasons[status] = _reason(text)
            return
        job_id = _job_id(text)
        if job_id is None:
            self._tally.errors["200 without a job id"] += 1
        else:
            self._tally.accepted += 1
            self._tally.job_ids.append(job_id)


def _job_id(text: bytes) -> str | None:
    try:
        answer = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    job_id = answer.get("jobId") if isinstance(answer, dict) else None
    try:
        return str(UUID(job_id)) if isinstance(job_id, str) else None
    except ValueError:
        return None


def _reason(text: bytes) -> str:
    """The message in the gateway's problem document (RFC 9457)."""
    try:
        problem = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(problem, dict):
        return ""
    return printable(str(problem.get("detail") or problem.get("title") or "")[:_LONGEST_REASON])


def _words(exc: Exception) -> str:
    if isinstance(exc, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return "connection lost"
    return type(exc).__name__
