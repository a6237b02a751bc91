"""The span of one message in flight, and the spans of its steps."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self
from uuid import UUID

from ringback.contract.identity import job_id_of
from ringback.contract.json_text import sanitize_text
from ringback.contract.status import AttemptOutcome
from ringback.contract.telemetry.spans import Attribute
from ringback.contract.trace_context import TraceContext
from ringback.runtime.tracing import Link, OpenSpan, Shape, Value
from services.processor.delivery import Delivery, Message, attempt_due
from services.processor.log_rows import LogRow
from services.processor.policy import Move
from services.processor.span_shapes import move_shape, settle_shape
from services.processor.trace_links import PREVIOUS_ATTEMPT

_NOTHING: Mapping[str, Value] = {}


class MessageSpan:
    """From receipt to settlement. Never raises; every span within names its webhook.

    An error raised inside marks it as failed, and so does our own shutdown. Calls after its end
    have no effect.
    """

    __slots__ = ("_about", "_has_previous", "_id", "_is_open", "_message", "_queue", "_span")

    def __init__(self, span: OpenSpan, message: Message, queue: str) -> None:
        self._span = span
        self._message = message
        self._queue = queue
        self._is_open = span.is_recorded
        self._has_previous = False
        self._about: dict[str, Value] = {}
        self._id = sanitize_text(message.message_id or "") if self._is_open else ""
        if self._is_open:
            self._tell({Attribute.MESSAGE_ID: self._id, **_attributes_of(message)})
            if job_id_of(message.message_id or "") is not None:
                self.belongs_to(self._id)

    @property
    def context(self) -> TraceContext:
        """The recorded attempt, and the parents and links of its trace."""
        return self._span.context

    @property
    def wants_previous(self) -> bool:
        """Whether it is useful to look for the attempt before."""
        return self._is_open and not self._has_previous

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self.failed(type(error).__qualname__)
        self._is_open = False
        self._span.end()

    def belongs_to(self, job_id: str) -> None:
        self._about[Attribute.JOB_ID] = job_id
        self._tell(self._about)

    def opened(self, delivery: Delivery) -> None:
        """Set the webhook that the message contains."""
        if not self._is_open:
            return
        envelope, event = delivery.envelope, delivery.event
        attributes: dict[str, Value] = {
            Attribute.ORG_ID: str(envelope.org_id),
            Attribute.ENDPOINT_ID: envelope.endpoint_id,
            Attribute.EVENT_TYPE: envelope.event_type,
        }
        if event.call_id is not None:
            attributes[Attribute.CALL_ID] = event.call_id
        if envelope.retry_of is not None:
            attributes[Attribute.RETRY_OF] = str(envelope.retry_of)
        self._tell(attributes)

    def holds(self, row: LogRow) -> None:
        """Set the webhook's id, whatever the message contains."""
        if not self._is_open:
            return
        self.belongs_to(str(row.id))
        self._tell(
            {
                Attribute.ORG_ID: str(row.org_id),
                Attribute.ENDPOINT_ID: row.endpoint_id,
                Attribute.EVENT_TYPE: row.event_type,
            }
        )

    def ended(
        self, outcome: AttemptOutcome, *, is_fresh: bool, duplicate_of: UUID | None = None
    ) -> None:
        """Set the recorded outcome."""
        attributes: dict[str, Value] = {Attribute.OUTCOME: outcome.value}
        if not is_fresh:
            attributes[Attribute.IS_REPEATED] = True
        if duplicate_of is not None:
            attributes[Attribute.DUPLICATE_OF] = str(duplicate_of)
        self._tell(attributes)

    def failed(self, error_type: str) -> None:
        if self._is_open:
            self._span.failed(error_type)

    def link_previous(self, attempt: TraceContext) -> None:
        """Link to the span of the attempt before. Only the first call counts."""
        if self.wants_previous:
            self._has_previous = True
            self._span.link(Link(attempt, PREVIOUS_ATTEMPT))

    def child(
        self, shape: Shape, attributes: Mapping[str, Value] = _NOTHING, *, began_ns: int = 0
    ) -> OpenSpan:
        """A child span. The caller ends it; it may outlive this one."""
        if not self._span.is_recorded:
            return self._span
        return self._span.child(shape, {**self._about, **attributes}, began_ns=began_ns)

    def settling(self, operation: str) -> OpenSpan:
        """The answer to the broker: `ack` or `reject`."""
        message = self._message
        shape = settle_shape(operation, message.exchange, message.routing_key, self._queue)
        return self.child(shape, {Attribute.MESSAGE_ID: self._id})

    def moving(self, move: Move) -> OpenSpan:
        """The message moves to another queue: by our copy, or by our rejection."""
        attributes: dict[str, Value] = {
            Attribute.MESSAGE_ID: self._id,
            Attribute.ATTEMPT: attempt_due(self._message),
        }
        if move.delay_ms is not None:
            attributes[Attribute.RETRY_DELAY_MS] = move.delay_ms
        return self.child(move_shape(move.queue), attributes)

    def _tell(self, attributes: Mapping[str, Value]) -> None:
        if self._is_open:
            self._span.tell(attributes)


def _attributes_of(message: Message) -> dict[str, Value]:
    attributes: dict[str, Value] = {
        Attribute.MESSAGE_BODY_SIZE: len(message.body),
        Attribute.ATTEMPT: attempt_due(message),
    }
    if message.deliveries_before:
        attributes[Attribute.DELIVERIES_BEFORE] = message.deliveries_before
    return attributes
