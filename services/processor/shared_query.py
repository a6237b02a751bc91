"""Gives each webhook its own span of a statement that several share."""

import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from ringback.contract.telemetry.spans import Attribute
from ringback.runtime.tracing import Value
from services.processor.message_span import MessageSpan
from services.processor.span_shapes import query_shape


@contextmanager
def shared_query(name: str, spans: Iterable[MessageSpan]) -> Generator[None, None, None]:
    """Trace the statement `name`, executed inside, in the spans of these webhooks.

    The spans contain the number of webhooks if it is above 1. An error inside marks them failed.
    """
    began_ns = time.time_ns()
    error_type = ""
    try:
        yield
    except BaseException as exc:
        error_type = type(exc).__qualname__
        raise
    finally:
        sharing = list(spans)
        attributes: dict[str, Value] = (
            {Attribute.DB_BATCH_SIZE: len(sharing)} if len(sharing) > 1 else {}
        )
        ended_ns = time.time_ns()
        for span in sharing:
            query = span.child(query_shape(name), attributes, began_ns=began_ns)
            if error_type:
                query.failed(error_type)
            query.end(ended_ns)
