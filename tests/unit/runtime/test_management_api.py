"""Tests for ringback.runtime.amqp.management_api: where it is asked, and what its numbers mean."""

import aiohttp
import pytest

from ringback.runtime.amqp.management_api import ManagementPlace, QueueStats


@pytest.mark.parametrize(
    ("url", "amqp_url", "base_url", "vhost", "user"),
    [
        ("http://mq:15672", "amqp://u:p@mq:5672/", "http://mq:15672/api", "%2F", ("u", "p")),
        (
            "https://mq/path/",
            "amqps://u:p%40@mq/a%2Fb",
            "https://mq/path/api",
            "a%2Fb",
            ("u", "p@"),
        ),
        ("http://x:y@mq:1", "amqp://u:p@mq/calls", "http://mq:1/api", "calls", ("x", "y")),
        ("http://mq:15672", "amqp://mq", "http://mq:15672/api", "%2F", ("guest", "guest")),
    ],
)
def test_the_place_is_that_of_the_amqp_url(
    url: str, amqp_url: str, base_url: str, vhost: str, user: tuple[str, str]
) -> None:
    """Virtual host and user come from there; the API's own URL takes precedence."""
    place = ManagementPlace.of(url, amqp_url)

    assert (place.base_url, place.vhost) == (base_url, vhost)
    assert place.authorization == aiohttp.encode_basic_auth(*user)
    assert place.authorization not in repr(place)


def test_what_is_neither_ready_nor_unacknowledged_is_on_its_way() -> None:
    """A rejected message counts until its retry queue has confirmed it."""
    assert QueueStats(messages=10, ready=3, unacknowledged=2).on_their_way == 5
    assert QueueStats(messages=4, ready=3, unacknowledged=2).on_their_way == 0
