"""Handles one webhook request, step by step.

    announced size ▸ endpoint ▸ method ▸ headers ▸ body ▸ signature ▸ event ▸ store ▸ response
                                                                        └ question ▸ answer

A wrong path, content type or encoding alone is no reason to reject a valid event. The body is
read only after the headers were checked: for a secret, or for a fresh signature, which is checked
before the body is parsed. The response is 200 only once the broker has confirmed the webhook or
the local spool has committed it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, time
from uuid import UUID

from aiohttp import hdrs, web
from opentelemetry.trace import Span

from ringback.contract.event import InvalidEvent
from ringback.contract.identity import JobId, new_job_id
from ringback.runtime.http.bounded_server import send_continue
from ringback.runtime.observability.tracing import ending, trace_context
from ringback.runtime.outgoing.addresses import Network
from ringback.runtime.outgoing.remote_keys import KeyRefresher
from ringback.services.gateway.endpoints.endpoint import PROVEN, Endpoint, match_route
from ringback.services.gateway.endpoints.networks import is_in, sender_address
from ringback.services.gateway.endpoints.refusals import RefusalCounts
from ringback.services.gateway.endpoints.table import EndpointTable
from ringback.services.gateway.events.metadata import EventMetadata, parse_metadata
from ringback.services.gateway.http import rejection
from ringback.services.gateway.http.body import BodyHeaders, compression_layers, read_body
from ringback.services.gateway.http.in_flight import InFlightLimiter, Lease
from ringback.services.gateway.http.lenient_body import is_json, recover_event
from ringback.services.gateway.http.rejection import Rejection
from ringback.services.gateway.instruments import Deviation, GatewayInstruments
from ringback.services.gateway.log.delivery_log import PendingRow, PendingRows
from ringback.services.gateway.questions.answers import Answer, Asked
from ringback.services.gateway.questions.relay import QuestionRelay
from ringback.services.gateway.spans import Spans
from ringback.services.gateway.storage.org_rate import OrgRates
from ringback.services.gateway.storage.result import StoreResult
from ringback.services.gateway.storage.store import WebhookStore
from ringback.services.gateway.webhook import AcceptedWebhook, accept

_RECOVERABLE = frozenset({InvalidEvent.NOT_JSON, InvalidEvent.NOT_AN_OBJECT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the handler accepts."""

    max_body_bytes: int
    body_timeout_s: float


@dataclass(frozen=True, slots=True)
class _Received:
    """A body of a proven sender. `layers` is None if its content encoding is not supported."""

    endpoint: Endpoint
    body: bytes
    layers: int | None
    message_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookHandler:
    """`instance_id` is the id under which the ledger counts the webhooks of this process."""

    table: EndpointTable
    refresher: KeyRefresher
    limits: Limits
    limiter: InFlightLimiter
    store: WebhookStore
    pending: PendingRows
    instruments: GatewayInstruments
    spans: Spans
    relay: QuestionRelay
    rates: OrgRates
    refusals: RefusalCounts
    instance_id: UUID
    trusted_proxies: Sequence[Network] = ()
    new_id: Callable[[], JobId] = new_job_id
    now: Callable[[], float] = time
    """Seconds since 1970, for timestamps that senders sign."""

    async def handle(self, request: web.BaseRequest) -> AcceptedWebhook | Answer | Rejection:
        """Store the webhook durably, answer the question, or return a rejection. Never raises."""
        # If the server cancels the request, its spans end here.
        with ending(self.spans.receive(request)) as span:
            started_at = perf_counter()
            try:
                with self.limiter.lease() as lease:
                    result = await self._accept(request, lease, span)
                if isinstance(result, Asked):
                    # The backend may take seconds, so the lease has ended. The relay has its own
                    # and keeps only bodies that it counted, so this frame must not keep one.
                    self.spans.asked(span, result.webhook)
                    answering = self.relay.answer(result, span)
                    del result
                    answer = await answering
                    self.spans.answered(span, answer.status)
                    return answer
            except Exception:  # ruff: ignore[blind-except]  # the sender gets a response in any case
                self.instruments.failed()
                result = rejection.INTERNAL_ERROR
            duration_s = perf_counter() - started_at
            if isinstance(result, Rejection):
                self._count_refusal(request, result)
                self.instruments.rejected(
                    result,
                    path=request.raw_path,
                    headers=request.headers,
                    duration_s=duration_s,
                    trace=trace_context(span),
                )
                self.spans.rejected(span, result)
                return result
            webhook = result.webhook
            self.pending.add(PendingRow(webhook.envelope, webhook.call_id))
            self.instruments.accepted(result, duration_s=duration_s)
            self.spans.accepted(span, result)
            return webhook

    def _count_refusal(self, request: web.BaseRequest, result: Rejection) -> None:
        routes = self.table.routes
        route = match_route(request, routes)
        self.refusals.add(None if route is None else routes[route], result)

    async def _accept(
        self, request: web.BaseRequest, lease: Lease, span: Span
    ) -> StoreResult | Asked | Rejection:
        received = await self._receive(request, lease)
        if isinstance(received, Rejection):
            return received
        endpoint = received.endpoint
        parsed = self._parse(request, received, lease)
        if isinstance(parsed, Rejection):
            return parsed
        metadata, body = parsed
        if not endpoint.accepts(metadata.type):
            return rejection.event_type_not_allowed(endpoint.id, metadata.type)
        question = endpoint.questions.get(metadata.type)
        is_bulk = question is None and self.rates.is_over(endpoint.org_id)
        publish = span if question is not None else self.spans.publish(span, is_bulk=is_bulk)
        webhook = accept(
            metadata.with_message_id(received.message_id),
            body,
            job_id=self.new_id(),
            endpoint=endpoint,
            instance_id=self.instance_id,
            trace=trace_context(publish),
            is_bulk=is_bulk,
        )
        if question is not None:
            return Asked(webhook, question)
        with ending(publish):
            result = await self.store.store(webhook)
            self.spans.published(publish, result)
        if result.tier is None:
            return rejection.not_stored(result.reason)
        self._count_deviations(request, received, is_recovered=body is not received.body)
        return result

    async def _receive(self, request: web.BaseRequest, lease: Lease) -> _Received | Rejection:
        """Check who sent the request, and read its body."""
        endpoint = self._endpoint(request)
        if isinstance(endpoint, Rejection):
            return endpoint
        checked = endpoint.check_head(request.headers, self.now())
        if isinstance(checked, Rejection) and checked.reason == rejection.KEYS_UNAVAILABLE:
            await self.refresher.refresh(endpoint.key_sets())
            checked = endpoint.check_head(request.headers, self.now())
        if isinstance(checked, Rejection):
            return checked
        await send_continue(request)
        layers = compression_layers(request.headers.getall(hdrs.CONTENT_ENCODING, ()))
        body = await read_body(
            request.content,
            BodyHeaders(request.content_length, layers or 0),
            lease=lease,
            max_bytes=self.limits.max_body_bytes,
            timeout_s=self.limits.body_timeout_s,
        )
        if isinstance(body, Rejection):
            return body
        if checked is PROVEN:
            return _Received(endpoint, body, layers)
        signature = endpoint.check_body(checked, request.headers, request.method, body)
        if isinstance(signature, Rejection):
            return signature
        has_key = endpoint.is_deduplicated_by_message_id
        message_id = signature.message_id(request.headers) if has_key else None
        return _Received(endpoint, body, layers, message_id)

    def _endpoint(self, request: web.BaseRequest) -> Endpoint | Rejection:
        """The endpoint of a request, if it may have one."""
        if (request.content_length or 0) > self.limits.max_body_bytes:
            return rejection.TOO_LARGE
        routes = self.table.routes
        route = match_route(request, routes)
        if route is None:
            return rejection.NOT_FOUND
        if request.method != hdrs.METH_POST:
            return rejection.WRONG_METHOD
        endpoint = routes[route]
        if not endpoint.is_enabled:
            return rejection.endpoint_disabled(endpoint.id)
        if endpoint.networks:
            forwarded_for = request.headers.getall(hdrs.X_FORWARDED_FOR, ())
            address = sender_address(request.remote, forwarded_for, self.trusted_proxies)
            if address is None or not is_in(address, endpoint.networks):
                return rejection.wrong_network(endpoint.id, address)
        return endpoint

    def _parse(
        self, request: web.BaseRequest, received: _Received, lease: Lease
    ) -> tuple[EventMetadata, bytes] | Rejection:
        """Return the event's metadata and its JSON text, which may have to be recovered."""
        body = received.body
        metadata = parse_metadata(body)
        if isinstance(metadata, EventMetadata):
            return metadata, body
        content_type = request.headers.get(hdrs.CONTENT_TYPE)
        recovered = self._recover(body, content_type, lease) if metadata in _RECOVERABLE else None
        if recovered is not None:
            return recovered
        if metadata is InvalidEvent.NOT_JSON and body:
            if received.layers is None:
                return rejection.WRONG_CONTENT_ENCODING
            if content_type is not None and not is_json(content_type):
                return rejection.WRONG_CONTENT_TYPE
        return rejection.invalid_event(metadata)

    def _recover(
        self, body: bytes, content_type: str | None, lease: Lease
    ) -> tuple[EventMetadata, bytes] | Rejection | None:
        """Recover the event of a malformed body; None if there is none."""
        recovered = recover_event(body, content_type)
        if recovered is None:
            return None
        if len(recovered) > self.limits.max_body_bytes:
            return rejection.TOO_LARGE
        if not lease.reserve(len(recovered)):
            return rejection.BUSY
        metadata = parse_metadata(recovered)
        return (metadata, recovered) if isinstance(metadata, EventMetadata) else None

    def _count_deviations(
        self, request: web.BaseRequest, received: _Received, *, is_recovered: bool
    ) -> None:
        """Count what was wrong with a webhook that was accepted nevertheless."""
        deviations = []
        routes = self.table.routes
        if request.raw_path not in routes and request.path not in routes:
            deviations.append(Deviation.PATH)
        if not is_json(request.headers.get(hdrs.CONTENT_TYPE)):
            deviations.append(Deviation.CONTENT_TYPE)
        if received.layers is None:
            deviations.append(Deviation.CONTENT_ENCODING)
        if is_recovered:
            deviations.append(Deviation.BODY)
        if deviations:
            self.instruments.tolerated(received.endpoint.id, deviations)
