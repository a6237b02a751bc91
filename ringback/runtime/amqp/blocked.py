from collections.abc import Coroutine
from typing import Any

from aiormq.abc import AbstractConnection


def is_blocked(connection: AbstractConnection) -> bool:
    """Whether the broker has blocked this connection.

    aiormq exposes this only as a coroutine that waits until the block ends, so we check whether it
    would wait.
    """
    ready: Coroutine[Any, Any, None] = connection.ready()
    try:
        ready.send(None)
    except StopIteration:
        return False
    ready.close()
    return True
