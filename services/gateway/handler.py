"""Handles one webhook request, step by step.

    announced size ▸ endpoint ▸ method ▸ secret ▸ body ▸ event ▸ store ▸ response

A wrong path, content type or encoding alone is no reason to reject a valid event. The body is
read only after the secret was checked. The response is 200 only once the broker has confirmed the
webhook or the local spool has committed it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from uuid import UUID

from aiohttp import hdrs, web
from opentelemetry.trace import Span

from ringback.contract.event import InvalidEvent
from ringback.contract.identity import JobId, new_job_id
from ringback.runtime.http.bounded_server import send_continue
from ringback.runtime.observability.tracing import ending, trace_context
from services.gateway.endpoints import Endpoint, match_route
from services.gateway.events.metadata import EventMetadata, parse_metadata
from services.gateway.http import rejection
from services.gateway.http.body import BodyHeaders, compression_layers, read_body
from services.gateway.http.in_flight import InFlightLimiter, Lease
from services.gateway.http.lenient_body import is_json, recover_event
from services.gateway.http.rejection import Rejection
from services.gateway.instruments import Deviation, GatewayInstruments
from services.gateway.log.delivery_log import PendingRow, PendingRows
from services.gateway.spans import Spans
from services.gateway.storage.result import StoreResult
from services.gateway.storage.store import WebhookStore
from services.gateway.webhook import AcceptedWebhook, accept

_RECOVERABLE = frozenset({InvalidEvent.NOT_JSON, InvalidEvent.NOT_AN_OBJECT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the handler accepts."""

    max_body_bytes: int
    body_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookHandler:
    """`instance_id` is the id under which the ledger counts the webhooks of this process."""

    routes: Mapping[str, Endpoint]
    limits: Limits
    limiter: InFlightLimiter
    store: WebhookStore
    pending: PendingRows
    instruments: GatewayInstruments
    spans: Spans
    instance_id: UUID
    new_id: Callable[[], JobId] = new_job_id

    async def handle(self, request: web.BaseRequest) -> AcceptedWebhook | Rejection:
        """Store the webhook durably, or return a rejection. Never raises."""
        # If the server cancels the request, its spans end here.
        with ending(self.spans.receive(request)) as span:
            started_at = perf_counter()
            try:
                with self.limiter.lease() as lease:
                    result = await self._accept(request, lease, span)
            except Exception:  # ruff: ignore[blind-except]  # the sender gets a response in any case
                self.instruments.failed()
                result = rejection.INTERNAL_ERROR
            duration_s = perf_counter() - started_at
            if isinstance(result, Rejection):
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

    async def _accept(
        self, request: web.BaseRequest, lease: Lease, span: Span
    ) -> StoreResult | Rejection:
        endpoint = self._authenticate(request)
        if isinstance(endpoint, Rejection):
            return endpoint
        await send_continue(request)
        layers = compression_layers(request.headers.getall(hdrs.CONTENT_ENCODING, ()))
        received = await read_body(
            request.content,
            BodyHeaders(request.content_length, layers or 0),
            lease=lease,
            max_bytes=self.limits.max_body_bytes,
            timeout_s=self.limits.body_timeout_s,
        )
        if isinstance(received, Rejection):
            return received
        publish = self.spans.publish(span)
        parsed = self._parse(request, received, layers, lease)
        if isinstance(parsed, Rejection):
            return parsed
        metadata, body = parsed
        webhook = accept(
            metadata,
            body,
            job_id=self.new_id(),
            endpoint=endpoint,
            instance_id=self.instance_id,
            trace=trace_context(publish),
        )
        with ending(publish):
            result = await self.store.store(webhook)
            self.spans.published(publish, result)
        if result.tier is None:
            return rejection.not_stored(result.reason)
        self._count_deviations(request, endpoint, layers, is_recovered=body is not received)
        return result

    def _authenticate(self, request: web.BaseRequest) -> Endpoint | Rejection:
        """Check everything that the headers decide, before any of the body is read."""
        if (request.content_length or 0) > self.limits.max_body_bytes:
            return rejection.TOO_LARGE
        route = match_route(request, self.routes)
        if route is None:
            return rejection.NOT_FOUND
        if request.method != hdrs.METH_POST:
            return rejection.WRONG_METHOD
        endpoint = self.routes[route]
        return endpoint.authenticate(request.headers) or endpoint

    def _parse(
        self, request: web.BaseRequest, body: bytes, layers: int | None, lease: Lease
    ) -> tuple[EventMetadata, bytes] | Rejection:
        """Return the event's metadata and its JSON text, which may have to be recovered."""
        metadata = parse_metadata(body)
        if isinstance(metadata, EventMetadata):
            return metadata, body
        content_type = request.headers.get(hdrs.CONTENT_TYPE)
        recovered = self._recover(body, content_type, lease) if metadata in _RECOVERABLE else None
        if recovered is not None:
            return recovered
        if metadata is InvalidEvent.NOT_JSON and body:
            if layers is None:
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
        self,
        request: web.BaseRequest,
        endpoint: Endpoint,
        layers: int | None,
        *,
        is_recovered: bool,
    ) -> None:
        """Count what was wrong with a webhook that was accepted nevertheless."""
        deviations = []
        if request.raw_path not in self.routes and request.path not in self.routes:
            deviations.append(Deviation.PATH)
        if not is_json(request.headers.get(hdrs.CONTENT_TYPE)):
            deviations.append(Deviation.CONTENT_TYPE)
        if layers is None:
            deviations.append(Deviation.CONTENT_ENCODING)
        if is_recovered:
            deviations.append(Deviation.BODY)
        if deviations:
            self.instruments.tolerated(endpoint.id, deviations)
