"""What is in hand is bounded in number and in bytes, and given back whatever happens."""

import pytest

from services.gateway.room import Room


def test_refuses_one_more_than_it_holds() -> None:
    """A place is free again as soon as it is left."""
    room = Room(most=1, most_bytes=100)

    with room.place() as first, room.place() as second:
        assert first.take(0)
        assert not second.take(0)
    with room.place() as third:
        assert third.take(0)


def test_refuses_bytes_beyond_its_limit_and_keeps_count() -> None:
    """Bytes that were refused are not held; those that were taken are given back at the end."""
    room = Room(most=10, most_bytes=100)

    with room.place() as place:
        assert place.take(60)
        assert not place.take(41)
        assert place.take(40)
        assert (room.count, room.size_bytes) == (1, 100)

    assert (room.count, room.size_bytes) == (0, 0)


def test_an_error_gives_the_place_back() -> None:
    """A request that ends in an error holds nothing afterwards."""
    room = Room(most=1, most_bytes=1)

    def break_off() -> None:
        with room.place() as place:
            place.take(1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()

    assert (room.count, room.size_bytes) == (0, 0)
