"""Links attempts to those before them, using the log.

The message cannot carry the link: the broker moves a rejected message without changes. The row of
an attempt is committed before its message is answered, so the next attempt always finds it.
"""

from collections.abc import Sequence
from contextlib import suppress

from asyncpg.pool import PoolConnectionProxy

from ringback.contract.trace_context import trace_context_of
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from services.processor.message_span import MessageSpan
from services.processor.trace_links import Before

_TIMEOUT_S = 1.0
_PACKAGE = "services.processor"


async def link_previous_attempts(
    connection: PoolConnectionProxy, asked: Sequence[tuple[MessageSpan, Before | None]]
) -> None:
    """Link each span to the attempt before it, if the span is sampled and there was one.

    Not inside a transaction: a failure costs the links and nothing else.
    """
    wanted = [(span, before) for span, before in asked if before and span.wants_previous]
    if not wanted:
        return
    with suppress(*DATABASE_UNAVAILABLE_ERRORS):
        found = await connection.fetch(
            load(_PACKAGE, "previous_attempts.sql"),
            [before.job_id for _, before in wanted],
            [before.attempt for _, before in wanted],
            timeout=_TIMEOUT_S,
        )
        for record in found:
            # Whether it was sampled is not recorded; the origin's sampling already decided.
            context = trace_context_of(f"00-{record['trace_id']}-{record['span_id']}-00", None)
            if context is not None:
                wanted[record["place"] - 1][0].link_previous(context)
