"""Links attempts to those before them, by what the log holds of these.

The log is asked, and not the message, because nothing else survives: a message that is rejected is
moved by the broker as it stands, with no header of ours, and the row of an attempt is committed
before its message is answered, so that it is there for whoever attempts the webhook next.
"""

from collections.abc import Sequence
from contextlib import suppress

from asyncpg.pool import PoolConnectionProxy

from ringback.contract.trace_context import trace_context_of
from ringback.runtime.postgres import DATABASE_AWAY
from ringback.runtime.queries import load
from services.processor.message_span import MessageSpan
from services.processor.trace_links import Before

_TIMEOUT_S = 1.0
_PACKAGE = "services.processor"


async def link_previous_attempts(
    connection: PoolConnectionProxy, asked: Sequence[tuple[MessageSpan, Before | None]]
) -> None:
    """Tell each span of the attempt before it, if somebody keeps the span and there was one.

    Not inside a transaction: a failure costs the links and nothing else.
    """
    wanted = [(span, before) for span, before in asked if before and span.wants_previous]
    if not wanted:
        return
    with suppress(*DATABASE_AWAY):
        found = await connection.fetch(
            load(_PACKAGE, "previous_attempts.sql"),
            [before.job_id for _, before in wanted],
            [before.attempt for _, before in wanted],
            timeout=_TIMEOUT_S,
        )
        for record in found:
            # Whether it was kept stands nowhere; that of the origin has decided by now.
            context = trace_context_of(f"00-{record['trace_id']}-{record['span_id']}-00", None)
            if context is not None:
                wanted[record["place"] - 1][0].link_previous(context)
