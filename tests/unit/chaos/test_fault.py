"""Tests for chaos.fault: which verdicts break a promise."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from chaos.fault import Fault, Part, broken_promises
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
    wasted_attempts=0,
    gap_s=0.1,
    p99_s=0.02,
    resumed_s=0.5,
    recovered_s=1.0,
)


def test_a_good_verdict_breaks_no_promise() -> None:
    """No complaint if every count is right."""
    assert broken_promises(FAULT, WELL) == []


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        pytest.param(replace(WELL, accepted=0), "No webhook was accepted", id="no load"),
        pytest.param(replace(WELL, lost=("e1", "e2")), "Lost: e1, e2", id="lost"),
        pytest.param(replace(WELL, twice=("e1",)), "Finished twice: e1", id="twice"),
        pytest.param(replace(WELL, refused=1), "1 refused", id="refused"),
        pytest.param(replace(WELL, unanswered=2), "2 requests", id="no answer"),
        pytest.param(replace(WELL, dead_letters=3), "3 became dead letters", id="dead letters"),
        pytest.param(replace(WELL, wasted_attempts=4), "4 attempts", id="attempts"),
    ],
)
def test_each_count_is_checked(verdict: Verdict, words: str) -> None:
    """A count that must be 0 and is not appears in a complaint."""
    [sentence] = broken_promises(FAULT, verdict)

    assert sentence.startswith(words)


@pytest.mark.parametrize(
    ("resumed_s", "words"),
    [(None, "Processing resumed never"), (5.1, "Processing resumed after 5.1 s, not within 5 s")],
)
def test_processing_must_resume_in_time(resumed_s: float | None, words: str) -> None:
    """The fault declares how soon after its end a webhook must finish."""
    fault, verdict = replace(FAULT, resumes_within_s=5), replace(WELL, resumed_s=resumed_s)

    [sentence] = broken_promises(fault, verdict)

    assert sentence.startswith(words)
    assert broken_promises(FAULT, verdict) == broken_promises(fault, WELL) == []


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        pytest.param(replace(FAULT, may_refuse=True), replace(WELL, refused=1), id="refuse"),
        pytest.param(replace(FAULT, may_not_answer=True), replace(WELL, unanswered=1), id="mute"),
        pytest.param(
            replace(FAULT, may_dead_letter=True), replace(WELL, dead_letters=1), id="dead letter"
        ),
        pytest.param(
            replace(FAULT, may_use_attempts=True), replace(WELL, wasted_attempts=1), id="attempts"
        ),
    ],
)
def test_a_fault_may_cost_what_it_declares(fault: Fault, verdict: Verdict) -> None:
    """A declared cost is no broken promise."""
    assert broken_promises(fault, verdict) == []


@pytest.mark.parametrize(
    "verdict",
    [
        pytest.param(replace(WELL, lost=("e1",)), id="lost"),
        pytest.param(replace(WELL, twice=("e1",)), id="twice"),
    ],
)
def test_nothing_may_be_lost_or_finished_twice(verdict: Verdict) -> None:
    """No fault may declare that cost."""
    fault = replace(
        FAULT, may_refuse=True, may_not_answer=True, may_dead_letter=True, may_use_attempts=True
    )

    assert broken_promises(fault, verdict)
