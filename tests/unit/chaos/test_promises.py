"""When a verdict means that a fault cost nothing."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from chaos.fault import Fault, Part
from chaos.promises import broken_promises
from chaos.stage import Stage
from chaos.verdict import Verdict


@asynccontextmanager
async def nothing(_: Stage) -> AsyncGenerator[None, None]:
    """A fault that does nothing."""
    yield


FAULT = Fault(name="any", sentence="Any.", part=Part.BROKER, strike=nothing)
WELL = Verdict(
    offered=10,
    accepted=10,
    refused=0,
    unanswered=0,
    finished=10,
    lost=(),
    twice=(),
    duplicates=1,
    dead_letters=0,
    burned=0,
    gap_s=0.1,
    p99_s=0.02,
    resumed_s=0.5,
    recovered_s=1.0,
)


def test_all_is_well() -> None:
    """Then there is no complaint."""
    assert broken_promises(FAULT, WELL) == []


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        pytest.param(replace(WELL, accepted=0), "Nothing was accepted", id="no load"),
        pytest.param(replace(WELL, lost=("e1", "e2")), "Lost: e1, e2", id="lost"),
        pytest.param(replace(WELL, twice=("e1",)), "Finished twice: e1", id="twice"),
        pytest.param(replace(WELL, refused=1), "1 refused", id="refused"),
        pytest.param(replace(WELL, unanswered=2), "2 requests", id="no answer"),
        pytest.param(replace(WELL, dead_letters=3), "3 ended as dead letters", id="dead letters"),
        pytest.param(replace(WELL, burned=4), "4 attempts", id="attempts"),
    ],
)
def test_each_count_is_looked_at(verdict: Verdict, words: str) -> None:
    """A count that must be 0 and is not appears in a complaint."""
    [sentence] = broken_promises(FAULT, verdict)

    assert sentence.startswith(words)


@pytest.mark.parametrize(
    ("resumed_s", "words"),
    [(None, "It went on never"), (5.1, "It went on after 5.1 s, not within 5 s")],
)
def test_what_must_go_on_soon_is_looked_at(resumed_s: float | None, words: str) -> None:
    """Within the time that the fault declares."""
    fault, verdict = replace(FAULT, resumes_within_s=5), replace(WELL, resumed_s=resumed_s)

    [sentence] = broken_promises(fault, verdict)

    assert sentence.startswith(words)
    assert broken_promises(FAULT, verdict) == broken_promises(fault, WELL) == []


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        pytest.param(replace(FAULT, may_refuse=True), replace(WELL, refused=1), id="refuse"),
        pytest.param(replace(FAULT, may_not_answer=True), replace(WELL, unanswered=1), id="mute"),
        pytest.param(replace(FAULT, may_bury=True), replace(WELL, dead_letters=1), id="bury"),
        pytest.param(replace(FAULT, may_burn=True), replace(WELL, burned=1), id="burn"),
    ],
)
def test_a_fault_may_cost_what_it_says(fault: Fault, verdict: Verdict) -> None:
    """And only that."""
    assert broken_promises(fault, verdict) == []


@pytest.mark.parametrize(
    "verdict",
    [
        pytest.param(replace(WELL, lost=("e1",)), id="lost"),
        pytest.param(replace(WELL, twice=("e1",)), id="twice"),
    ],
)
def test_nothing_may_be_lost_or_finished_twice(verdict: Verdict) -> None:
    """Whatever the fault is allowed."""
    fault = replace(FAULT, may_refuse=True, may_not_answer=True, may_bury=True, may_burn=True)

    assert broken_promises(fault, verdict)
