"""How much may be in hand at once: requests, and the bytes of their bodies."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

SMALL_BYTES = 256 * 1024
"""A body up to here finds room when large ones find none. Few webhooks are larger."""

_LARGE_PARTS, _ALL_PARTS = 3, 4
"""Of four parts of the bytes large bodies take three at most, unless one is alone; so do bodies
that are still arriving, of the places. So a few senders, large or slow, keep nobody else out."""


@dataclass(slots=True)
class Room:
    """Counts what is in hand. More than it holds is refused at once; nothing waits for room."""

    most: int
    most_bytes: int
    count: int = field(default=0, init=False)
    size_bytes: int = field(default=0, init=False)

    def place(self) -> "Place":
        """A place for one request. Enter it to leave it again whatever happens."""
        return Place(self)


class Place:
    """What one request holds of a room."""

    __slots__ = ("_entered", "_room", "_size_bytes")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size_bytes = 0
        self._entered = False

    def come_in(self, *, is_whole: bool) -> bool:
        """Take a place for a body that is here already, or is still arriving; False if none is."""
        room = self._room
        most = room.most if is_whole else _large_part(room.most)
        if room.count >= most:
            return False
        self._entered = True
        room.count += 1
        return True

    def hold(self, size_bytes: int) -> bool:
        """Hold so many bytes in all; False, and nothing changes, if the room has them not."""
        assert self._entered
        room = self._room
        others_bytes = room.size_bytes - self._size_bytes
        may_have_all = size_bytes <= SMALL_BYTES or not others_bytes
        most_bytes = room.most_bytes if may_have_all else _large_part(room.most_bytes)
        if others_bytes + size_bytes > most_bytes:
            return False
        room.size_bytes = others_bytes + size_bytes
        self._size_bytes = size_bytes
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._entered:
            self._room.count -= 1
            self._room.size_bytes -= self._size_bytes
            self._entered = False


def _large_part(whole: int) -> int:
    """Rounded up, or a room for one would take nobody who is not here whole."""
    return -(-whole * _LARGE_PARTS // _ALL_PARTS)
