"""Begins the processor's spans: one for each message in flight."""

from ringback.runtime.tracing import Tracer
from services.processor.delivery import Message
from services.processor.message_span import MessageSpan
from services.processor.span_shapes import process_shape
from services.processor.trace_links import ancestry_of


class Spans:
    """Never raises. With the tracer off, the context of the message is passed on."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, message: Message, queue: str, *, is_dead_letter: bool = False) -> MessageSpan:
        """The span of a message from this queue."""
        ancestry = ancestry_of(message, is_dead_letter=is_dead_letter)
        span = self._tracer.start(
            process_shape(message.exchange, message.routing_key, queue),
            parent=ancestry.parent if self._tracer.is_on else ancestry.published,
            links=ancestry.links,
        )
        return MessageSpan(span, message, queue)
