"""Forwards webhooks: sends their bodies to the URLs that the endpoints file declares, signed."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Self
from uuid import UUID

import structlog

from ringback.contract.envelope import CONTENT_TYPE
from ringback.contract.redaction.redaction import Redaction
from ringback.contract.status import AttemptOutcome
from ringback.contract.telemetry import LogEvent
from ringback.handlers import Event
from ringback.outgoing import Unavailable
from ringback.outgoing.registry import DESTINATIONS, Destinations
from ringback.runtime.endpoints.forwards import Forward, ForwardTable
from ringback.runtime.outgoing.addresses import Network
from ringback.runtime.outgoing.breaker import BreakerState, Destination, Outcome
from ringback.runtime.outgoing.client import (
    Failure,
    OutgoingClient,
    OutgoingError,
    Request,
    Response,
    outcome_of_failure,
)
from ringback.runtime.outgoing.outcome import outcome_of_status
from ringback.runtime.outgoing.signature import signature_headers
from ringback.services.processor.attempt.context import AttemptContext
from ringback.services.processor.attempt.handlers import HandlerSelection
from ringback.services.processor.attempt.result import AttemptResult, EndedError
from ringback.services.processor.builtin.forward_outcome import (
    MAX_ANSWER_BYTES,
    REMOVED_SCHEDULE,
    Later,
    decide,
    failed_call,
    removed,
    stored_answer,
)

_MIN_WAIT_S = 1.0
_NOT_SENT = frozenset({Failure.BUSY, Failure.BREAKER_OPEN})
_AFTER_TIMEOUT_S = 5.0

log = structlog.get_logger()


OnEnd = Callable[[Forward, UUID, str | None], None]
"""Called at the end of an attempt, with the organisation, and with the error if it failed."""


class Forwards:
    """Sends webhooks while entered. Each forward has its own limit and breaker."""

    def __init__(
        self,
        table: ForwardTable,
        redaction: Redaction,
        *,
        on_end: OnEnd = lambda *_: None,
        declared: Destinations = DESTINATIONS,
        new_client: Callable[[tuple[Network, ...]], OutgoingClient] = OutgoingClient,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.table = table
        self.on_end = on_end
        self.redaction = redaction
        self.clock = clock
        self._new_client = new_client
        self._stack = AsyncExitStack()
        self._clients: dict[tuple[Network, ...], OutgoingClient] = {}
        self._declared = declared
        self._destinations: dict[str, Destination] = {}

    def replace(self, forwards: tuple[Forward, ...]) -> list[str]:
        """Use these from now on. Returns the endpoints whose forwards have changed."""
        changed = self.table.replace(forwards)
        self._declare()
        return changed

    def _declare(self) -> None:
        """Declare the destinations before their first use, so that a person can stop one."""
        for forward in self.table:
            self.destination(forward)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self, None]:
        self._declare()
        async with self._stack:
            yield self

    def selection(self, context: AttemptContext) -> HandlerSelection:
        """What to run instead of the handlers for a webhook that a forward sends."""
        envelope = context.envelope
        forward = self.table.find(envelope.endpoint_id, envelope.forward or "")
        attempt = ForwardAttempt(self, forward, context)
        schedule = REMOVED_SCHEDULE if forward is None else forward.schedule
        return HandlerSelection(
            plain=(attempt,),
            transactional=(),
            call_update_of=None,
            schedules={} if schedule is None else {attempt: schedule},
            timeout_s=None if forward is None else forward.timeout_s + _AFTER_TIMEOUT_S,
        )

    async def client(self, networks: tuple[Network, ...]) -> OutgoingClient:
        """The client for these private networks, so that no kept connection leads elsewhere."""
        client = self._clients.get(networks)
        if client is None:
            client = self._new_client(networks)
            await self._stack.enter_async_context(client.running())
            # Another attempt may have started one meanwhile. The stack closes both.
            client = self._clients.setdefault(networks, client)
        return client

    def destination(self, forward: Forward) -> Destination:
        """The limit and breaker of a forward. They outlive a change of its URL."""
        name = forward.destination
        found = self._destinations.get(name)
        if found is None:
            try:
                found = self._declared.declare(name)
            except ValueError:
                # There are too many for metrics. This one works without.
                found = Destination(forward.concurrency)
            self._destinations[name] = found
        found.max_in_flight = forward.concurrency
        return found


@dataclass(frozen=True, slots=True, eq=False)
class ForwardAttempt:
    """One attempt to send a webhook; a handler of its own."""

    forwards: Forwards
    forward: Forward | None
    context: AttemptContext

    async def __call__(self, event: Event) -> None:
        """Send it. Raises Unavailable, or EndedError unless the receiver accepted it."""
        envelope, forward = self.context.envelope, self.forward
        if forward is None:
            raise EndedError(removed(envelope.endpoint_id, envelope.forward or ""))
        destination = self.forwards.destination(forward)
        client = await self.forwards.client(forward.networks)
        began_at_s = time.perf_counter()
        try:
            response = await client.send(destination, self._request(forward, event))
        except OutgoingError as exc:
            if exc.failure in _NOT_SENT:
                wait_s = max(destination.breaker.retry_in_s, _MIN_WAIT_S)
                raise Unavailable(forward.destination, wait_s) from exc
            log.warning(
                LogEvent.FORWARD_FAILED,
                job_id=str(event.job_id),
                endpoint_id=forward.endpoint_id,
                forward=forward.name,
                failure=exc.failure.value,
            )
            result = failed_call(exc.failure, forward)
            self.forwards.on_end(forward, envelope.org_id, result.error_message)
            raise self._error_of(
                result, destination, is_failed=outcome_of_failure(exc.failure) is Outcome.FAILED
            ) from exc
        self.context.answer = stored_answer(
            response,
            time.perf_counter() - began_at_s,
            self.forwards.redaction,
            self.context.redacted.hidden,
        )
        self._end(response, forward, destination)

    def _end(self, response: Response, forward: Forward, destination: Destination) -> None:
        context = self.context
        schedule = forward.schedule or context.schedule
        result = decide(response, forward, schedule, context.attempt, self.forwards.clock())
        org_id = context.envelope.org_id
        if isinstance(result, Later):
            error = f"The receiver answered with status {response.status}, and asked to wait."
            self.forwards.on_end(forward, org_id, error)
            raise Unavailable(forward.destination, result.wait_s)
        self.forwards.on_end(forward, org_id, result.error_message)
        if result.error_class is not None:
            is_failed = (
                result.outcome is AttemptOutcome.FAILED
                and outcome_of_status(response.status) is Outcome.FAILED
            )
            raise self._error_of(result, destination, is_failed=is_failed)

    def _error_of(
        self, result: AttemptResult, destination: Destination, *, is_failed: bool
    ) -> Exception:
        """A failure of the receiver while its breaker is open uses no attempt a few times."""
        error, breaker = EndedError(result), destination.breaker
        if self.forward is None or not is_failed or breaker.state is not BreakerState.OPEN:
            return error
        wait_s = max(breaker.retry_in_s, _MIN_WAIT_S)
        return Unavailable(self.forward.destination, wait_s, error)

    def _request(self, forward: Forward, event: Event) -> Request:
        context = self.context
        signature = signature_headers(
            forward.keys,
            # The same for each attempt and each manual retry, so that a receiver knows it again.
            message_id=str(context.envelope.forward_of or context.envelope.job_id),
            at_s=int(self.forwards.clock()),
            body=context.message.body,
        )
        return Request(
            url=forward.url,
            body=context.message.body,
            headers={
                "Content-Type": CONTENT_TYPE,
                "Accept-Encoding": "identity",
                "User-Agent": "ringback",
                "traceparent": event.trace.traceparent,
                **signature,
            },
            timeout_s=forward.timeout_s,
            max_answer_bytes=MAX_ANSWER_BYTES,
            is_answer_cut=True,
        )
