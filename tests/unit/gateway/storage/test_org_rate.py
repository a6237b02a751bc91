"""Which orgs send more than their rate."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.services.gateway.storage.org_rate import STICKY_S, OrgRates

ORG, OTHER, THIRD = (UUID(int=number) for number in (1, 2, 3))


class Gateway:
    """Accepts webhooks at given times."""

    def __init__(self, rate_per_s: float, max_orgs: int = 10) -> None:
        self.now_s = 1_000.0
        self.noted: list[UUID] = []
        self.rates = OrgRates(
            rate_per_s, on_over=self.noted.append, max_orgs=max_orgs, clock=lambda: self.now_s
        )

    def accept(self, org: UUID = ORG, *, after_s: float = 0.0) -> bool:
        self.now_s += after_s
        return self.rates.is_over(org)


@pytest.mark.parametrize(
    ("rate", "after_s", "count", "first_over"),
    [
        (10, 0.0, 30, 10),  # A burst of a second's webhooks.
        (10, 0.1, 500, None),  # The rate itself, for as long as it may be.
        (16, 1 / 32, 80, 31),  # Twice the rate: each webhook takes half a token from the burst.
        (0.1, 0.0, 2, 1),  # Even the lowest rate has room for one.
        (0, 0.0, 1_000, None),  # No limit.
    ],
)
def test_an_org_is_over_once_its_burst_is_used_up(
    rate: float, after_s: float, count: int, first_over: int | None
) -> None:
    gateway = Gateway(rate)

    over = [gateway.accept(after_s=after_s) for _ in range(count)]

    assert over == [first_over is not None and n >= first_over for n in range(count)]
    assert gateway.noted == ([] if first_over is None else [ORG])


def test_it_stays_over_for_a_while_after_its_last_excess() -> None:
    """Also at a low rate. Then it is as any other, with a full burst."""
    gateway = Gateway(10)
    for _ in range(11):
        gateway.accept()

    assert [gateway.accept(after_s=STICKY_S / 3) for _ in range(3)] == [True, True, False]
    assert not any(gateway.accept() for _ in range(9))
    assert gateway.accept()
    assert gateway.noted == [ORG, ORG]


def test_a_flood_is_over_throughout() -> None:
    """It does not go on filling the work queue at its rate."""
    gateway = Gateway(10)

    over = [gateway.accept(after_s=1 / 500) for _ in range(60 * 500)]

    assert over.index(True) <= 11
    assert all(over[11:])
    assert gateway.noted == [ORG]


def test_it_forgets_the_orgs_that_have_sent_nothing_for_longest() -> None:
    """A flooding org is not forgotten, however many others send."""
    gateway = Gateway(1, max_orgs=2)
    for org in (ORG, OTHER):
        for _ in range(3):
            gateway.accept(org)

    for number in range(100):
        assert gateway.accept(ORG)
        assert not gateway.accept(UUID(int=1_000 + number))
    assert not gateway.accept(OTHER)


@given(
    st.lists(
        st.tuples(st.sampled_from([ORG, OTHER, THIRD]), st.floats(0, 5, allow_nan=False)),
        max_size=200,
    ),
    st.floats(0.5, 20),
)
def test_no_org_gets_more_than_its_rate_and_none_is_touched_by_others(
    arrivals: list[tuple[UUID, float]], rate: float
) -> None:
    """Within any time, the work queue gets at most the burst and the rate of an org."""
    together = Gateway(rate)
    alone = {org: Gateway(rate) for org in (ORG, OTHER, THIRD)}
    passed: dict[UUID, list[float]] = {ORG: [], OTHER: [], THIRD: []}
    for org, after_s in arrivals:
        is_over = together.accept(org, after_s=after_s)
        alone[org].now_s = together.now_s
        assert alone[org].accept(org) == is_over
        if not is_over:
            passed[org].append(together.now_s)
    for times in passed.values():
        for first, start_s in enumerate(times):
            for count, end_s in enumerate(times[first:], start=1):
                assert count <= max(1.0, 2 * rate) + (end_s - start_s) * rate + 1e-6
