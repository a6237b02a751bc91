"""Requests and body bytes in flight are limited, and always released."""

import pytest

from ringback.services.gateway.http.in_flight import SMALL_BYTES, InFlightLimiter

MIB = 1024 * 1024


def test_rejects_one_request_too_many() -> None:
    """Leaving a lease makes room for the next request."""
    limiter = InFlightLimiter(max_requests=1, max_bytes=100)

    with limiter.lease() as first, limiter.lease() as second:
        assert first.admit(is_whole=True)
        assert not second.admit(is_whole=True)
    with limiter.lease() as third:
        assert third.admit(is_whole=True)


def test_rejects_bytes_above_the_limit() -> None:
    """Rejected bytes are not counted; reserved bytes are released at the end."""
    limiter = InFlightLimiter(max_requests=10, max_bytes=100)

    with limiter.lease() as lease:
        assert lease.admit(is_whole=True)
        assert lease.reserve(60)
        assert not lease.reserve(101)
        assert (limiter.count, limiter.size_bytes) == (1, 60)
        assert lease.reserve(100)
        assert (limiter.count, limiter.size_bytes) == (1, 100)

    assert (limiter.count, limiter.size_bytes) == (0, 0)


def test_arriving_bodies_leave_room_for_complete_ones() -> None:
    """Slow bodies cannot use the last quarter of the requests."""
    limiter = InFlightLimiter(max_requests=4, max_bytes=100)
    slow = [limiter.lease() for _ in range(4)]

    assert [lease.admit(is_whole=False) for lease in slow] == [True, True, True, False]
    assert limiter.lease().admit(is_whole=True)


def test_large_bodies_leave_bytes_to_small_ones() -> None:
    """Large bodies may use three quarters; a small one still fits."""
    limiter = InFlightLimiter(max_requests=10, max_bytes=32 * MIB)
    large = [limiter.lease() for _ in range(4)]
    assert all(lease.admit(is_whole=False) for lease in large)

    assert [lease.reserve(8 * MIB) for lease in large] == [True, True, True, False]
    small = limiter.lease()
    assert small.admit(is_whole=True)
    assert small.reserve(SMALL_BYTES)
    assert not small.reserve(SMALL_BYTES + 1)


def test_a_single_large_body_may_use_all_bytes() -> None:
    """Otherwise a body of the maximum size would always be rejected."""
    limiter = InFlightLimiter(max_requests=10, max_bytes=8 * MIB)

    with limiter.lease() as lease:
        assert lease.admit(is_whole=False)
        assert lease.reserve(8 * MIB)
        assert not lease.reserve(8 * MIB + 1)


def test_an_error_releases_the_lease() -> None:
    """A failed request leaves nothing reserved."""
    limiter = InFlightLimiter(max_requests=1, max_bytes=1)

    def break_off() -> None:
        with limiter.lease() as lease:
            lease.admit(is_whole=True)
            lease.reserve(1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()

    assert (limiter.count, limiter.size_bytes) == (0, 0)
