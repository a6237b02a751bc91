"""What is in hand is bounded in number and in bytes, and given back whatever happens."""

import pytest

from services.gateway.room import SMALL_BYTES, Room

MIB = 1024 * 1024


def test_refuses_one_more_than_it_holds() -> None:
    """A place is free again as soon as it is left."""
    room = Room(most=1, most_bytes=100)

    with room.place() as first, room.place() as second:
        assert first.come_in(is_whole=True)
        assert not second.come_in(is_whole=True)
    with room.place() as third:
        assert third.come_in(is_whole=True)


def test_refuses_bytes_beyond_its_limit_and_keeps_count() -> None:
    """Bytes that were refused are not held; those that were taken are given back at the end."""
    room = Room(most=10, most_bytes=100)

    with room.place() as place:
        assert place.come_in(is_whole=True)
        assert place.hold(60)
        assert not place.hold(101)
        assert (room.count, room.size_bytes) == (1, 60)
        assert place.hold(100)
        assert (room.count, room.size_bytes) == (1, 100)

    assert (room.count, room.size_bytes) == (0, 0)


def test_bodies_that_are_arriving_leave_places_to_those_that_are_here() -> None:
    """However many dribble, one that came at once is taken."""
    room = Room(most=4, most_bytes=100)
    slow = [room.place() for _ in range(4)]

    assert [place.come_in(is_whole=False) for place in slow] == [True, True, True, False]
    assert room.place().come_in(is_whole=True)


def test_large_bodies_leave_bytes_to_small_ones() -> None:
    """Three quarters are theirs; a small one finds room in the last."""
    room = Room(most=10, most_bytes=32 * MIB)
    large = [room.place() for _ in range(4)]
    assert all(place.come_in(is_whole=False) for place in large)

    assert [place.hold(8 * MIB) for place in large] == [True, True, True, False]
    small = room.place()
    assert small.come_in(is_whole=True)
    assert small.hold(SMALL_BYTES)
    assert not small.hold(SMALL_BYTES + 1)


def test_a_large_body_that_is_alone_may_have_it_all() -> None:
    """Or the largest that is taken would never be taken."""
    room = Room(most=10, most_bytes=8 * MIB)

    with room.place() as place:
        assert place.come_in(is_whole=False)
        assert place.hold(8 * MIB)
        assert not place.hold(8 * MIB + 1)


def test_an_error_gives_the_place_back() -> None:
    """A request that ends in an error holds nothing afterwards."""
    room = Room(most=1, most_bytes=1)

    def break_off() -> None:
        with room.place() as place:
            place.come_in(is_whole=True)
            place.hold(1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()

    assert (room.count, room.size_bytes) == (0, 0)
