"""Answers are valid by the types of Vapi's own package, which `make validators` installs."""

# ruff: file-ignore[suspicious-subprocess-import] - The types have an environment of their own.
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from ringback import samples
from ringback.cli.demo.answers import answer_to
from ringback.cli.demo.questions import QUESTIONS
from ringback.contract.telemetry.spec import QUESTION_TYPES
from ringback.services.gateway.questions.answers import VOICE, fallback_for
from tests.unit.gateway.questions.asking import TOOL_CALLS, asked
from tests.unit.gateway.questions.test_answers import GOOD

pytestmark = pytest.mark.slow

PYTHON = Path(sys.prefix) / "vapi" / "bin" / "python"
SCRIPT = Path(__file__).with_name("vapi_types.py")
BAD: list[tuple[str, dict[str, Any]]] = [
    ("assistant-request", {"assistantId": 7}),
    ("tool-calls", {"results": [{"result": "a"}]}),
    ("transfer-destination-request", {"destination": "+1"}),
    ("knowledge-base-request", {"documents": [{"content": "a"}]}),
    ("call.endpointing.request", {}),
    ("campaign.predial", {}),
]
HANDOFF = "handoff-destination-request"
NO_DESTINATION = ["destination: Field required"]


def mistakes(*answers: tuple[str, Any]) -> list[list[str]]:
    """What Vapi's types find wrong with each answer, in order."""
    done = subprocess.run(
        [PYTHON, SCRIPT], input=json.dumps(answers), capture_output=True, text=True, check=True
    )
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_answers_have_the_types_of_vapi() -> None:
    """The fallbacks, those of the demo, and all in which we find no mistake.

    For a handoff, the types require a destination, but describe an error in place of one.
    """
    types = sorted(QUESTION_TYPES - {VOICE})
    fallbacks = [(one, orjson.loads(fallback_for(asked(one, **TOOL_CALLS)).body)) for one in types]
    of_the_demo = [(one, answer_to(samples.sample(one))) for one in QUESTIONS]
    answers = fallbacks + of_the_demo + [one for one in GOOD if one[0] != VOICE]
    found = zip(answers, mistakes(*answers), strict=True)

    assert [one for one in found if one[1]] == [(fallbacks[types.index(HANDOFF)], NO_DESTINATION)]
    assert all(mistakes(*BAD))
