"""What happens with one request, in order.

    size announced ▸ endpoint ▸ method ▸ secret ▸ body ▸ event ▸ publish ▸ answer

A wrong path, content type or encoding is no reason to refuse what turns out to be an event.
Nothing is read before the sender has shown the secret, and nothing is answered with 200 before the
broker has confirmed it or the local spool holds it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol
from uuid import UUID

from aiohttp import HttpVersion11, hdrs, web

from ringback.contract.envelope import Envelope
from ringback.contract.event import Unreadable
from ringback.contract.identity import JobId, new_job_id
from ringback.contract.trace_context import TraceContext
from ringback.runtime.tracing import OpenSpan
from services.gateway import refusal
from services.gateway.body import Announced, read_body
from services.gateway.content_type import is_json
from services.gateway.endpoint import Endpoint
from services.gateway.head import Head, read_head
from services.gateway.lenient_body import as_event
from services.gateway.observe import Observe
from services.gateway.pending_row import PendingRow
from services.gateway.refusal import Refusal
from services.gateway.room import Place, Room
from services.gateway.routes import route_of
from services.gateway.seal import Sealed, seal
from services.gateway.spans import Spans
from services.gateway.storing import Stored, StoredIn
from services.gateway.tolerated import Deviation
from services.gateway.unpack import layers_in

_MAY_MEAN_MORE = frozenset({Unreadable.NOT_JSON, Unreadable.NOT_AN_OBJECT})


class Store(Protocol):
    async def store(self, envelope: Envelope, body: bytes) -> Stored: ...


class Pending(Protocol):
    def add(self, row: PendingRow) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Below `payloads_below` requests in hand, pending rows carry payloads up to `payload_bytes`.

    To read and redact a large one would keep all other requests waiting, and take many times its
    size; the processor does it as well.
    """

    max_body_bytes: int
    body_timeout_s: float
    payloads_below: int
    payload_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Accepted:
    sealed: Sealed
    place: StoredIn


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Takes requests. `life` is the id under which this process counts what it accepts."""

    routes: Mapping[str, Endpoint]
    limits: Limits
    room: Room
    storing: Store
    pending: Pending
    observe: Observe
    spans: Spans
    life: UUID
    new_id: Callable[[], JobId] = new_job_id

    async def take(self, request: web.BaseRequest) -> Sealed | Refusal:
        """Have the webhook on a disk and say so, or say why not. Raises nothing."""
        # When our own end cuts the request short, its spans end with it.
        with self.spans.receive(request) as receiving:
            return await self._answer(request, receiving)

    async def _answer(self, request: web.BaseRequest, receiving: OpenSpan) -> Sealed | Refusal:
        began = perf_counter()
        try:
            with self.room.place() as place:
                answer = await self._take(request, place, receiving)
        except Exception:  # ruff: ignore[blind-except]  # the sender gets an answer, not our error
            self.observe.failed()
            answer = refusal.OUR_FAULT
        duration_s = perf_counter() - began
        if isinstance(answer, Refusal):
            self.observe.refused(
                answer,
                path=request.raw_path,
                headers=request.headers,
                duration_s=duration_s,
                trace=receiving.context,
            )
            self.spans.refused(receiving, answer)
            return answer
        with_payload = (
            self.room.count < self.limits.payloads_below
            and len(answer.sealed.body) <= self.limits.payload_bytes
        )
        self.pending.add(answer.sealed.row(with_payload=with_payload))
        self.observe.accepted(answer.sealed, answer.place, duration_s=duration_s)
        self.spans.accepted(receiving, answer.sealed, answer.place)
        return answer.sealed

    async def _take(
        self, request: web.BaseRequest, place: Place, receiving: OpenSpan
    ) -> _Accepted | Refusal:
        endpoint = self._admit(request)
        if isinstance(endpoint, Refusal):
            return endpoint
        await _tell_to_go_on(request)
        layers = layers_in(request.headers.getall(hdrs.CONTENT_ENCODING, ()))
        body = await read_body(
            request.content,
            Announced(request.content_length, layers or 0),
            place=place,
            max_bytes=self.limits.max_body_bytes,
            timeout_s=self.limits.body_timeout_s,
        )
        if isinstance(body, Refusal):
            return body
        publish = self.spans.publish(receiving)
        sealed = self._seal(request, body, endpoint, place, publish.context)
        if isinstance(sealed, Refusal):
            return sealed
        with publish:
            stored = await self.storing.store(sealed.envelope, sealed.body)
            self.spans.published(publish, sealed, stored)
        if stored.place is None:
            return refusal.not_stored(stored.reason)
        self._tolerate(request, body, sealed, layers)
        return _Accepted(sealed, stored.place)

    def _admit(self, request: web.BaseRequest) -> Endpoint | Refusal:
        """What the head of a request says, before any of its body is read."""
        if (request.content_length or 0) > self.limits.max_body_bytes:
            return refusal.TOO_LARGE
        route = route_of(request, self.routes)
        if route is None:
            return refusal.NOT_FOUND
        if request.method != hdrs.METH_POST:
            return refusal.WRONG_METHOD
        endpoint = self.routes[route]
        return endpoint.refuses(request.headers) or endpoint

    def _seal(
        self,
        request: web.BaseRequest,
        body: bytes,
        endpoint: Endpoint,
        place: Place,
        trace: TraceContext,
    ) -> Sealed | Refusal:
        head = read_head(body)
        if isinstance(head, Unreadable):
            read = self._read_leniently(request, body, head, place)
            if isinstance(read, Refusal):
                return read
            head, body = read
        return seal(
            head,
            body,
            job_id=self.new_id(),
            endpoint=endpoint,
            life=self.life,
            trace=trace,
        )

    def _read_leniently(
        self, request: web.BaseRequest, body: bytes, why: Unreadable, place: Place
    ) -> tuple[Head, bytes] | Refusal:
        """The event in a body that is none as it came, or why it is refused."""
        content_type = request.headers.get(hdrs.CONTENT_TYPE)
        meant = as_event(body, content_type) if why in _MAY_MEAN_MORE else None
        if meant is not None:
            if len(meant) > self.limits.max_body_bytes:
                return refusal.TOO_LARGE
            if not place.hold(len(meant)):
                return refusal.BUSY
            head = read_head(meant)
            if isinstance(head, Head):
                return head, meant
        if why is Unreadable.NOT_JSON and body:
            if layers_in(request.headers.getall(hdrs.CONTENT_ENCODING, ())) is None:
                return refusal.WRONG_CONTENT_ENCODING
            if content_type is not None and not is_json(content_type):
                return refusal.WRONG_CONTENT_TYPE
        return refusal.unreadable(why)

    def _tolerate(
        self, request: web.BaseRequest, body: bytes, sealed: Sealed, layers: int | None
    ) -> None:
        """Count what was wrong with a webhook that was accepted all the same."""
        deviations = []
        if request.raw_path not in self.routes and request.path not in self.routes:
            deviations.append(Deviation.PATH)
        if not is_json(request.headers.get(hdrs.CONTENT_TYPE)):
            deviations.append(Deviation.CONTENT_TYPE)
        if layers is None:
            deviations.append(Deviation.CONTENT_ENCODING)
        if sealed.body is not body:
            deviations.append(Deviation.BODY)
        if deviations:
            self.observe.tolerated(sealed.envelope.endpoint_id, deviations)


async def _tell_to_go_on(request: web.BaseRequest) -> None:
    """Answer `Expect: 100-continue`: the sender waits with the body until the head is accepted.

    A sender of HTTP/1.0 does not know such an answer; other expectations are ignored.
    """
    if (
        request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
        and request.version >= HttpVersion11
    ):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
