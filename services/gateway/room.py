"""How much may be in hand at once: requests, and the bytes of their bodies."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


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

    def take(self, size_bytes: int) -> bool:
        """Hold so many bytes more; False, and nothing changes, if the room has them not."""
        room = self._room
        if not self._entered and room.count >= room.most:
            return False
        if room.size_bytes + size_bytes > room.most_bytes:
            return False
        if not self._entered:
            self._entered = True
            room.count += 1
        room.size_bytes += size_bytes
        self._size_bytes += size_bytes
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
