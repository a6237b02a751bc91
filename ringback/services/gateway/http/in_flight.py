"""Limits how many requests, and how many bytes of their bodies, are in flight."""

from dataclasses import dataclass, field
from typing import Self

SMALL_BYTES = 256 * 1024
"""Bodies up to this size may use memory that large ones may not. Few webhooks are larger."""

_SHARED_PARTS, _ALL_PARTS = 3, 4
"""Large bodies may use three quarters of the bytes, unless only one is in flight. Bodies that are
still arriving may use three quarters of the requests. So a few large or slow senders cannot block
all others."""


@dataclass(slots=True)
class InFlightLimiter:
    """Counts what is in flight. Anything beyond the limits is rejected at once; nothing waits."""

    max_requests: int
    max_bytes: int
    count: int = field(default=0, init=False)
    size_bytes: int = field(default=0, init=False)

    def lease(self) -> "Lease":
        """Create a lease for one request: a context manager that releases it on exit."""
        return Lease(self)


class Lease:
    """What one request has reserved of a limiter."""

    __slots__ = ("_admitted", "_limiter", "_size_bytes")

    def __init__(self, limiter: InFlightLimiter) -> None:
        self._limiter = limiter
        self._size_bytes = 0
        self._admitted = False

    def admit(self, *, is_whole: bool) -> bool:
        """Admit the request, or return False. `is_whole`: its whole body has arrived already."""
        limiter = self._limiter
        max_requests = limiter.max_requests if is_whole else _shared(limiter.max_requests)
        if limiter.count >= max_requests:
            return False
        self._admitted = True
        limiter.count += 1
        return True

    def reserve(self, size_bytes: int) -> bool:
        """Reserve so many bytes in total; return False, and change nothing, if that is too much."""
        assert self._admitted
        limiter = self._limiter
        others_bytes = limiter.size_bytes - self._size_bytes
        may_use_all = size_bytes <= SMALL_BYTES or not others_bytes
        max_bytes = limiter.max_bytes if may_use_all else _shared(limiter.max_bytes)
        if others_bytes + size_bytes > max_bytes:
            return False
        limiter.size_bytes = others_bytes + size_bytes
        self._size_bytes = size_bytes
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._admitted:
            self._limiter.count -= 1
            self._limiter.size_bytes -= self._size_bytes
            self._admitted = False


def _shared(limit: int) -> int:
    """Three quarters, rounded up: a limit of one must still admit a body that is arriving."""
    return -(-limit * _SHARED_PARTS // _ALL_PARTS)
