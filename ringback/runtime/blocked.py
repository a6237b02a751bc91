from collections.abc import Coroutine
from typing import Any

from aiormq.abc import AbstractConnection


def is_blocked(connection: AbstractConnection) -> bool:
    """Whether the broker has said that it takes nothing on this connection.

    aiormq tells this only by a coroutine that waits until it is over, so we look whether it would.
    """
    ready: Coroutine[Any, Any, None] = connection.ready()
    try:
        ready.send(None)
    except StopIteration:
        return False
    ready.close()
    return True
