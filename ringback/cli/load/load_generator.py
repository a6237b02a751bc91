"""Posts webhooks to a gateway, many at a time, and counts the answers."""

import asyncio
import io
import itertools
import os
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from uuid import UUID

import aiohttp
import orjson

from ringback.cli.terminal import CommandError
from ringback.local.console import printable


@dataclass(slots=True)
class SendStats:
    """The results so far; with none in flight, `offered` = accepted + rejected + errors."""

    offered: int = 0
    accepted: int = 0
    rejected: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    reasons: dict[int, str] = field(default_factory=dict)
    """The gateway's message with the first rejection of each status."""
    latencies_ms: list[float] = field(default_factory=list)
    """Of every response, accepted or rejected."""
    job_ids: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0

    @property
    def answered(self) -> int:
        return self.accepted + self.rejected.total()

    @property
    def all_accepted(self) -> bool:
        return self.accepted == self.offered > 0

    @property
    def rate_per_s(self) -> float:
        """Accepted webhooks per second."""
        return self.accepted / self.elapsed_s if self.elapsed_s else 0.0


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that `percent` of all values do not exceed; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    place = max(0, -(-len(ordered) * percent // 100) - 1)
    return ordered[int(place)]


_OK = 200
#: aiohttp warns about larger bytes objects, but not about files.
_MAX_BYTES_OBJECT = 1024 * 1024
_ERROR_PAUSE_S = 0.1
_MAX_REASON = 200

Bodies = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """How to send. Without `rate_per_s`, each of the `concurrency` tasks posts without a pause."""

    url: str
    headers: Mapping[str, str]
    count: int
    rate_per_s: float | None
    concurrency: int
    timeout_s: float


async def post_all(plan: LoadPlan, bodies: Bodies, stats: SendStats, stop: asyncio.Event) -> None:
    """Post `bodies(0)`, `bodies(1)`, … until `plan.count` or `stop`, and count into `stats`.

    With a rate, posts are due at even intervals, and latencies are measured from the due time.
    Raises CommandError if the gateway was never reachable.
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
        poster = _Poster(plan, bodies, stats, stop, client)
        began = time.perf_counter()
        try:
            await poster.run(began)
        finally:
            stats.elapsed_s = time.perf_counter() - began


class _Poster:
    def __init__(
        self,
        plan: LoadPlan,
        bodies: Bodies,
        stats: SendStats,
        stop: asyncio.Event,
        client: aiohttp.ClientSession,
    ) -> None:
        self._plan = plan
        self._bodies = bodies
        self._stats = stats
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
        """Wait until a post is due or `stop` is set; return its due time."""
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
        data = body if len(body) < _MAX_BYTES_OBJECT else io.BytesIO(body)
        self._stats.offered += 1
        try:
            async with self._client.post(self._plan.url, data=data) as answer:
                text = await answer.read()
        except aiohttp.ClientConnectorError as exc:
            self._require_reached(exc)
            await self._failed("not connected")
        except TimeoutError:
            await self._failed(f"no response in {self._plan.timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as exc:
            await self._failed(_words(exc))
        except asyncio.CancelledError:
            self._stats.errors["interrupted"] += 1
            raise
        else:
            self._stats.latencies_ms.append((time.perf_counter() - due) * 1000)
            self._answered(answer.status, text)

    def _require_reached(self, exc: aiohttp.ClientConnectorError) -> None:
        """Stop only if the gateway never answered; one that answered before may be restarting."""
        if not self._stats.answered:
            self._stats.errors["not connected"] += 1
            raise CommandError(
                f"The gateway at {self._plan.url} cannot be reached{_why(exc)}."
            ) from exc

    async def _failed(self, words: str) -> None:
        self._stats.errors[words] += 1
        await asyncio.sleep(_ERROR_PAUSE_S)

    def _answered(self, status: int, text: bytes) -> None:
        if status != _OK:
            self._stats.rejected[status] += 1
            if status not in self._stats.reasons:
                hint = _UNAUTHORIZED if status == HTTPStatus.UNAUTHORIZED else ""
                self._stats.reasons[status] = _reason(text) + hint
            return
        job_id = _job_id(text)
        if job_id is None:
            self._stats.errors["200 without a job id"] += 1
        else:
            self._stats.accepted += 1
            self._stats.job_ids.append(job_id)


def _why(exc: aiohttp.ClientConnectorError) -> str:
    """The cause in brackets. The errno of a TLS error is no errno of the system."""
    error = exc.os_error
    match error:
        case ssl.SSLCertVerificationError():
            return f" (its certificate is not accepted: {error.verify_message})"
        case ssl.SSLError():
            return f" (no TLS: {error.reason or 'handshake failed'}; is it an http:// address?)"
        case OSError(errno=int(number)) if number > 0:
            return f" ({os.strerror(number).lower()})"
        case _:
            return ""


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


_UNAUTHORIZED = " Set RINGBACK_VAPI_SECRET to what the endpoint accepts as X-Vapi-Secret."


def _reason(text: bytes) -> str:
    """The message in the gateway's problem document (RFC 9457)."""
    try:
        problem = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(problem, dict):
        return ""
    return printable(str(problem.get("detail") or problem.get("title") or "")[:_MAX_REASON])


def _words(exc: Exception) -> str:
    if isinstance(exc, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return "connection lost"
    return type(exc).__name__
