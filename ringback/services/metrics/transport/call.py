"""One call, as its implementation sees it."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum

from opentelemetry.trace import Span

from ringback.runtime.observability.tracing import untraced
from ringback.services.metrics.auth.principal import Principal


@dataclass(frozen=True, slots=True)
class Call:
    """`deadline` is a time of the event loop's clock, after which the caller no longer waits.

    `stopping` is set when the process shuts down; streams then end. Spans of work for the call are
    children of `span`, and may end after it.
    """

    principal: Principal
    deadline: float
    stopping: asyncio.Event
    span: Span = field(default_factory=untraced)

    def remaining_s(self) -> float:
        """Seconds until the deadline; never negative."""
        return max(0.0, self.deadline - asyncio.get_running_loop().time())


class Transport(StrEnum):
    """The transport of a call; a label of metrics."""

    GRPC = "grpc"
    REST = "rest"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of the connection, for the log."""

    transport: Transport
    #: From the socket, for example `127.0.0.1:41234`.
    address: str
