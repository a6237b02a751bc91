"""Relays a question to the backend that answers it, within the time that Vapi waits.

    repeated? ▸ busy? ▸ breaker ▸ ask once ▸ check ▸ answer; if a step fails, the fallback

The answer goes back to Vapi as it is. Nothing here waits for the broker or the database.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import orjson
from opentelemetry.trace import Span as OpenSpan

from ringback.contract.telemetry.questions import (
    ANSWERED,
    BAD_STATUS,
    INTERNAL_ERROR,
    NOT_JSON,
    REPEATED,
    STOPPING,
)
from ringback.runtime.observability.tracing import Tracer, ending, trace_context
from ringback.runtime.outgoing.breaker import CircuitBreaker, Destination
from ringback.runtime.outgoing.client import (
    Failure,
    OutgoingClient,
    OutgoingError,
    Request,
    Response,
)
from ringback.runtime.outgoing.signature import SigningKey, signature_headers
from ringback.services.gateway.http.in_flight import InFlightLimiter
from ringback.services.gateway.questions.answers import (
    JSON,
    VOICE,
    Answer,
    Asked,
    Mistakes,
    Reply,
    fallback_for,
    mistakes_in,
)
from ringback.services.gateway.questions.instruments import QuestionInstruments
from ringback.services.gateway.questions.question_log import AnsweredQuestion, QuestionLog
from ringback.services.gateway.questions.spans import end_ask, start_ask
from ringback.services.gateway.questions.stored import StoredAnswers

_OK = range(200, 300)
_CONTENT_TYPE = re.compile(r"[ -~]+")
_KEEP_S = 600.0
"""How long an answer is kept for a repeated question. Vapi does not wait longer for any answer."""

_MAX_STORED = 5_000
_MAX_STORED_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    max_per_destination: int
    max_in_flight: int
    max_in_flight_bytes: int
    max_answer_bytes: int


class QuestionRelay:
    """Answers questions while entered."""

    def __init__(
        self,
        client: OutgoingClient,
        log: QuestionLog,
        instruments: QuestionInstruments,
        tracer: Tracer,
        limits: RelayLimits,
        *,
        signing_key: SigningKey | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._log = log
        self._instruments = instruments
        self._tracer = tracer
        self._limits = limits
        self._signing_key = signing_key
        self._clock = clock
        self._limiter = InFlightLimiter(limits.max_in_flight, limits.max_in_flight_bytes)
        self._stored: StoredAnswers[asyncio.Task[Reply]] = StoredAnswers(
            keep_s=_KEEP_S, max_count=_MAX_STORED, max_bytes=_MAX_STORED_BYTES, clock=clock
        )
        self._destinations: dict[tuple[str, str], tuple[str, Destination]] = {}
        self._tasks: set[asyncio.Task[Reply]] = set()
        self._waiting: set[asyncio.Timeout] = set()
        self._is_stopping = False

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self, None]:
        async with self._client.running():
            try:
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop_waiting(self) -> None:
        """Give the fallback to all questions that wait for their backend, and to all later ones."""
        self._is_stopping = True
        now = asyncio.get_running_loop().time()
        while self._waiting:
            self._waiting.pop().reschedule(now)

    async def answer(self, asked: Asked, receiving: OpenSpan) -> Answer:
        """Return an answer within the time limit of the question. Never raises.

        A repeated question waits for the first one and gets its answer; its body is not kept while
        it waits. The backend is still asked if the sender disconnects.
        """
        started_at = time.perf_counter()
        key = question_id(asked)
        known = self._stored.get(key)
        if known is None:
            return (await asyncio.shield(self._start(asked, receiving, key))).answer
        size_bytes, webhook = len(asked.webhook.body), replace(asked.webhook, body=b"")
        del asked
        reply = await asyncio.shield(known)
        self._instruments.answered(
            webhook,
            reply,
            outcome=REPEATED,
            size_bytes=size_bytes,
            duration_s=time.perf_counter() - started_at,
        )
        return reply.answer

    def _start(self, asked: Asked, receiving: OpenSpan, key: str) -> asyncio.Task[Reply]:
        task = asyncio.create_task(self._ask(asked, receiving, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if asked.webhook.envelope.dedup_key is not None:
            self._stored.put(key, task)
        return task

    async def _ask(self, asked: Asked, receiving: OpenSpan, key: str) -> Reply:
        started_at = time.perf_counter()
        with ending(start_ask(self._tracer, receiving, asked.webhook)) as span:
            try:
                reply = await self._reply(asked, span, key)
            except Exception:  # ruff: ignore[blind-except]  # a live call gets an answer in any case
                self._instruments.failed()
                reply = _fallback(asked, INTERNAL_ERROR, was_sent=True)
            end_ask(span, reply.status, failure=_failure_in(reply))
        if reply.was_sent:
            self._stored.resize(key, len(reply.answer.body))
        else:
            # The backend did not receive the question, so a repeated one may be sent.
            self._stored.forget(key)
        duration_s = time.perf_counter() - started_at
        self._instruments.answered(
            asked.webhook,
            reply,
            outcome=reply.outcome,
            size_bytes=len(asked.webhook.body),
            duration_s=duration_s,
        )
        self._log.add(AnsweredQuestion(asked.webhook, reply, duration_s))
        return reply

    async def _reply(self, asked: Asked, span: OpenSpan, key: str) -> Reply:
        if self._is_stopping:
            return _fallback(asked, STOPPING, was_sent=False)
        body = asked.webhook.body
        with self._limiter.lease() as lease:
            if not lease.admit(is_whole=True) or not lease.reserve(len(body)):
                return _fallback(asked, Failure.BUSY, was_sent=False)
            request = Request(
                url=asked.question.url,
                body=body,
                headers=self._headers(key, body, span),
                timeout_s=asked.question.timeout_s,
                max_answer_bytes=self._limits.max_answer_bytes,
            )
            try:
                response = await self._post(self._destination(asked), request)
            except TimeoutError:
                return _fallback(asked, STOPPING, was_sent=True)
            except OutgoingError as exc:
                return _fallback(asked, exc.failure, was_sent=exc.was_sent)
        return _reply_of(asked, response)

    async def _post(self, destination: Destination, request: Request) -> Response:
        """Raises OutgoingError, or TimeoutError if the gateway stops before the answer."""
        async with asyncio.timeout(None) as waiting:
            self._waiting.add(waiting)
            try:
                return await self._client.send(destination, request)
            finally:
                self._waiting.discard(waiting)

    def _headers(self, key: str, body: bytes, span: OpenSpan) -> dict[str, str]:
        headers = {
            "Content-Type": JSON,
            "Accept-Encoding": "identity",
            "User-Agent": "ringback",
            "traceparent": trace_context(span).traceparent,
            "webhook-id": key,
        }
        if self._signing_key is not None:
            headers |= signature_headers(
                [self._signing_key], message_id=key, at_s=int(time.time()), body=body
            )
        return headers

    def _destination(self, asked: Asked) -> Destination:
        """The destination of one type of an endpoint's questions; a changed URL gets a new one."""
        envelope, url = asked.webhook.envelope, asked.question.url
        place = envelope.endpoint_id, envelope.event_type
        known = self._destinations.get(place)
        if known is not None and known[0] == url:
            return known[1]
        breaker = CircuitBreaker(clock=self._clock)
        destination = Destination(self._limits.max_per_destination, breaker)
        self._destinations[place] = url, destination
        self._instruments.watch_breaker(*place, destination.breaker)
        return destination


def question_id(asked: Asked) -> str:
    """An id that every gateway gives a repeated question, so that the backend recognises it."""
    envelope = asked.webhook.envelope
    if envelope.dedup_key is None:
        return str(envelope.job_id)
    text = f"{envelope.org_id}|{envelope.endpoint_id}|{envelope.dedup_key}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _failure_in(reply: Reply) -> str | None:
    return None if reply.outcome == ANSWERED else reply.outcome


def _fallback(asked: Asked, outcome: str, *, was_sent: bool, status: int | None = None) -> Reply:
    answer = fallback_for(asked)
    return Reply(answer=answer, outcome=outcome, was_sent=was_sent, status=status)


def _reply_of(asked: Asked, response: Response) -> Reply:
    status = response.status
    if status not in _OK:
        return _fallback(asked, BAD_STATUS, was_sent=True, status=status)
    envelope = asked.webhook.envelope
    mistakes: Mistakes = []
    if envelope.event_type != VOICE:
        document = _object_in(response.body)
        if document is None:
            return _fallback(asked, NOT_JSON, was_sent=True, status=status)
        mistakes = mistakes_in(envelope.event_type, asked.webhook.body, status, document)
    content_type = response.headers.get("Content-Type", "")
    if _CONTENT_TYPE.fullmatch(content_type) is None:
        # aiohttp would refuse to send it.
        content_type = JSON
    return Reply(
        answer=Answer(status, response.body, content_type),
        outcome=ANSWERED,
        was_sent=True,
        status=status,
        mistakes=mistakes,
    )


def _object_in(body: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None
