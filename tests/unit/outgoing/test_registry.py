"""Names, arguments and forced states of destinations."""

from typing import Any

import pytest

from ringback.outgoing.registry import KNOWN, Destinations
from ringback.runtime.outgoing.breaker import BreakerState
from tests.unit.outgoing.declared import Kept, declared


def test_a_name_means_one_object_and_its_arguments() -> None:
    destinations = Destinations()
    first = declared(destinations, timeout_s=3)

    assert declared(destinations, timeout_s=3) is first
    with pytest.raises(ValueError, match=r"shop was declared before with timeout_s=5.0, not 3"):
        declared(destinations)


@pytest.mark.parametrize("name", ["", "Shop", "a b", "-a", "x" * 64, "a/b"])
def test_a_name_is_a_label(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name of a destination"):
        Destinations().declare(name)


def test_names_are_not_made_from_events() -> None:
    destinations = Destinations()
    for number in range(200):
        destinations.declare(f"d{number}")

    with pytest.raises(ValueError, match="200 destinations"):
        destinations.declare("d200")


@pytest.mark.parametrize(
    "changes",
    [
        {"failure_ratio": 0},
        {"failure_ratio": 1.1},
        {"minimum": 0},
        {"timeout_s": 0},
        {"concurrency": 0},
        {"base_url": "ftp://x"},
        {"allow_networks": "10.0.0.1/8"},
    ],
)
def test_an_argument_that_is_not_valid_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        declared(Destinations(), **changes)


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_destination_has_its_defaults(name: str) -> None:
    made = Destinations().declare(name).options

    assert made.base_url is not None
    assert made.base_url.startswith("https://")
    assert made.base_url.endswith("/")
    assert made.permanent
    # A person or time ends these.
    assert not made.permanent & {401, 403, 408, 409, 425, 429, *range(500, 600)}
    assert not Destinations().declare(name, permanent=frozenset()).options.permanent


def test_a_forced_state_is_for_destinations_that_are_declared_later_too() -> None:
    destinations, watch = Destinations(), Kept()
    shop = declared(destinations)

    destinations.force({"shop": BreakerState.OPEN, "crm": BreakerState.OPEN})
    crm = destinations.declare("crm")
    both = [shop.breaker.state, crm.breaker.state]
    destinations.force({})
    destinations.observe(watch)

    assert both == [BreakerState.OPEN] * 2
    assert [shop.breaker.forced, crm.breaker.forced] == [None, None]
    assert watch.names == ["shop", "crm"]


def test_what_waits_is_released_as_the_breaker_permits() -> None:
    destinations = Destinations()
    shop = declared(destinations)

    closed = destinations.free_permits("shop")
    destinations.force({"shop": BreakerState.OPEN})
    opened = destinations.free_permits("shop")
    destinations.force({})
    probes = destinations.free_permits("shop")

    assert (closed, opened, probes, destinations.free_permits("crm")) == (None, 0, 1, None)
    assert shop.breaker.state is BreakerState.OPEN, "Only a call makes it half-open."
