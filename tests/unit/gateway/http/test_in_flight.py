"""What is in hand is bounded in number and in bytes, and given back whatever happens."""

import pytest

from services.gateway.http.in_flight import SMALL_BYTES, InFlightLimiter

MIB = 1024 * 1024


def test_refuses_one_more_than_it_holds() -> None:
    """A lease is free again as soon as it is left."""
    limiter = InFlightLimiter(max_requests=1, max_bytes=100)

    with limiter.lease() as first, limiter.lease() as second:
        assert first.admit(is_whole=True)
        assert not second.admit(is_whole=True)
    with limiter.lease() as third:
        assert third.admit(is_whole=True)


def test_refuses_bytes_beyond_its_limit_and_keeps_count() -> None:
    """Bytes that were refused are not held; those that were taken are given back at the end."""
    limiter = InFlightLimiter(max_requests=10, max_bytes=100)

    with limiter.lease() as lease:
        assert lease.admit(is_whole=True)
        assert lease.reserve(60)
        assert not lease.reserve(101)
        assert (limiter.count, limiter.size_bytes) == (1, 60)
        assert lease.reserve(100)
        assert (limiter.count, limiter.size_bytes) == (1, 100)

    assert (limiter.count, limiter.size_bytes) == (0, 0)


def test_bodies_that_are_arriving_leave_places_to_those_that_are_here() -> None:
    """However many dribble, one that came at once is taken."""
    limiter = InFlightLimiter(max_requests=4, max_bytes=100)
    slow = [limiter.lease() for _ in range(4)]

    assert [lease.admit(is_whole=False) for lease in slow] == [True, True, True, False]
    assert limiter.lease().admit(is_whole=True)


def test_large_bodies_leave_bytes_to_small_ones() -> None:
    """Three quarters are theirs; a small one finds room in the last."""
    limiter = InFlightLimiter(max_requests=10, max_bytes=32 * MIB)
    large = [limiter.lease() for _ in range(4)]
    assert all(lease.admit(is_whole=False) for lease in large)

    assert [lease.reserve(8 * MIB) for lease in large] == [True, True, True, False]
    small = limiter.lease()
    assert small.admit(is_whole=True)
    assert small.reserve(SMALL_BYTES)
    assert not small.reserve(SMALL_BYTES + 1)


def test_a_large_body_that_is_alone_may_have_it_all() -> None:
    """Or the largest that is taken would never be taken."""
    limiter = InFlightLimiter(max_requests=10, max_bytes=8 * MIB)

    with limiter.lease() as lease:
        assert lease.admit(is_whole=False)
        assert lease.reserve(8 * MIB)
        assert not lease.reserve(8 * MIB + 1)


def test_an_error_gives_the_place_back() -> None:
    """A request that ends in an error holds nothing afterwards."""
    limiter = InFlightLimiter(max_requests=1, max_bytes=1)

    def break_off() -> None:
        with limiter.lease() as lease:
            lease.admit(is_whole=True)
            lease.reserve(1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()

    assert (limiter.count, limiter.size_bytes) == (0, 0)
