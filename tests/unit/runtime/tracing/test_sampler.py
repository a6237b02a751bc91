"""Tests for ringback.runtime.tracing.sampler, seen from the spans that are kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.trace_context import TraceContext
from ringback.runtime.observability.otel_variables import SAMPLERS
from ringback.runtime.tracing.sampler import sampler_of
from ringback.runtime.tracing.span import Link
from ringback.runtime.tracing.tracer import Tracer
from tests.unit.runtime.tracing.traced_spans import SAMPLED, SHAPE, UNSAMPLED

BY_RATIO = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}


def is_kept(
    environ: dict[str, str],
    parent: TraceContext | None = None,
    *links: TraceContext,
) -> bool:
    tracer = Tracer(sampler_of(environ), lambda _: None)
    return tracer.start(
        SHAPE, parent=parent, links=[Link(one, "origin") for one in links]
    ).is_recorded


@pytest.mark.parametrize(
    ("name", "new", "below_sampled", "below_unsampled", "linked_to_sampled"),
    [
        ("", True, True, False, True),
        ("always_on", True, True, True, True),
        ("always_off", False, False, False, False),
        ("traceidratio", False, False, False, False),
        ("parentbased_always_on", True, True, False, True),
        ("parentbased_always_off", False, True, False, True),
        ("parentbased_traceidratio", False, True, False, True),
        (" PARENTBASED_ALWAYS_OFF ", False, True, False, True),
    ],
)
def test_each_name_decides_as_the_standard_says(
    name: str, *, new: bool, below_sampled: bool, below_unsampled: bool, linked_to_sampled: bool
) -> None:
    """What heeds parents heeds links as well; a ratio of 0 keeps nothing of its own."""
    environ = {**BY_RATIO, "OTEL_TRACES_SAMPLER": name}

    assert is_kept(environ) is new
    assert is_kept(environ, SAMPLED) is below_sampled
    assert is_kept(environ, UNSAMPLED) is below_unsampled
    assert is_kept(environ, None, UNSAMPLED, SAMPLED) is linked_to_sampled


def test_a_parent_goes_before_links() -> None:
    """What the parent's process dropped is not kept in part because of a link."""
    assert not is_kept({}, UNSAMPLED, SAMPLED)


def test_a_link_to_what_was_dropped_decides_nothing() -> None:
    """A retry of an unsampled webhook takes a decision of its own."""
    assert is_kept({}, None, UNSAMPLED)
    assert not is_kept(BY_RATIO, None, UNSAMPLED)


@given(low=st.floats(0, 1), high=st.floats(0, 1), trace_id=st.integers(1, 2**128 - 1))
def test_a_higher_ratio_keeps_all_that_a_lower_one_keeps(
    low: float, high: float, trace_id: int
) -> None:
    """So two services with different ratios hold whole traces in common."""
    low, high = sorted((low, high))
    kept_low, kept_high = (
        Tracer(
            sampler_of({**BY_RATIO, "OTEL_TRACES_SAMPLER_ARG": str(ratio)}), lambda _: None
        ).keeps_trace(f"{trace_id:032x}")
        for ratio in (low, high)
    )

    assert kept_high or not kept_low


def test_every_name_is_known_before_the_library_is_loaded() -> None:
    """What is not among them is ignored with a warning."""
    for name in SAMPLERS:
        assert sampler_of({"OTEL_TRACES_SAMPLER": name}).get_description()


def test_without_an_argument_all_is_kept() -> None:
    """The standard's default for the ratio is 1."""
    assert is_kept({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"})
