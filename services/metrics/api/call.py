"""One call, as those who answer it see it."""

import asyncio
from dataclasses import dataclass, field

from ringback.runtime.tracing import OpenSpan, untraced
from services.metrics.api.principal import Principal


@dataclass(frozen=True, slots=True)
class Call:
    """`deadline` is a time of the running loop's clock; nobody waits for an answer after it.

    `stopping` is set when the process is told to stop: a stream then ends by itself. What is done
    for the call is a child of `span`, and may end after it.
    """

    principal: Principal
    deadline: float
    stopping: asyncio.Event
    span: OpenSpan = field(default_factory=untraced)

    def remaining_s(self) -> float:
        """Seconds until the deadline; never less than 0."""
        return max(0.0, self.deadline - asyncio.get_running_loop().time())
