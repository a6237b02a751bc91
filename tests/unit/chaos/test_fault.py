"""Which verdicts break a promise."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

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


@pytest.mark.parametrize(
    ("count", "allowed", "sentence"),
    [
        ({"accepted": 0}, {}, "No webhook was accepted"),
        ({"lost": ("e1", "e2")}, {}, "Lost: e1, e2"),
        ({"twice": ("e1",)}, {}, "Finished twice: e1"),
        ({"refused": 1}, {"may_refuse": True}, "1 refused"),
        ({"unanswered": 2}, {"may_not_answer": True}, "2 requests"),
        ({"dead_letters": 3}, {"may_dead_letter": True}, "3 became dead letters"),
        ({"wasted_attempts": 4}, {"may_use_attempts": True}, "4 attempts"),
    ],
    ids=str,
)
def test_a_count_is_a_broken_promise_unless_the_fault_declares_it(
    count: dict[str, Any], allowed: dict[str, Any], sentence: str
) -> None:
    """No fault may declare that webhooks are lost or finished twice."""
    verdict = replace(WELL, **count)
    everything_else: dict[str, Any] = {
        name: True
        for name in ("may_refuse", "may_not_answer", "may_dead_letter", "may_use_attempts")
        if name not in allowed
    }

    [found] = broken_promises(replace(FAULT, **everything_else), verdict)

    assert found.startswith(sentence)
    assert not allowed or broken_promises(replace(FAULT, **allowed), verdict) == []
    assert broken_promises(FAULT, WELL) == []


@pytest.mark.parametrize(
    ("resumed_s", "words"),
    [(None, "Processing resumed never"), (5.1, "Processing resumed after 5.1 s, not within 5 s")],
)
def test_processing_must_resume_in_time(resumed_s: float | None, words: str) -> None:
    fault, verdict = replace(FAULT, resumes_within_s=5), replace(WELL, resumed_s=resumed_s)

    [sentence] = broken_promises(fault, verdict)

    assert sentence.startswith(words)
    assert broken_promises(FAULT, verdict) == broken_promises(fault, WELL) == []
