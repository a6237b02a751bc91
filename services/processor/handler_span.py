"""The span of each handler, one after the other."""

from collections.abc import Callable
from typing import Any

from ringback.runtime.tracing import OpenSpan
from services.processor.message_span import MessageSpan
from services.processor.span_shapes import handle_shape


class HandlerSpan:
    """At most one is open at a time. The first call that ends it counts, later ones do nothing."""

    def __init__(self, message_span: MessageSpan) -> None:
        self._message_span = message_span
        self._open: OpenSpan | None = None

    def begin(self, handler: Callable[..., Any]) -> OpenSpan:
        self._open = self._message_span.child(handle_shape(name_of(handler)))
        return self._open

    def end(self, error_type: str | None = None) -> None:
        """End the span, successfully or with this error."""
        if self._open is None:
            return
        if error_type is not None:
            self._open.failed(error_type)
        self._open.end()
        self._open = None


def name_of(handler: Callable[..., Any]) -> str:
    """A handler's module and name; if it has none, those of its type."""
    named = handler if hasattr(handler, "__qualname__") else type(handler)
    return f"{named.__module__}.{named.__qualname__}"
