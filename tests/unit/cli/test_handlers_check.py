"""`ringback handlers check` says what a processor would do with the modules."""

from pathlib import Path

import orjson
import pytest

from tests.unit.cli.command import Ringback

GOOD = """
from ringback.handlers import answers, handles, on_start, on_stop

@on_start
async def connect(): ...

@on_stop
def disconnect(): ...

@handles("hang", "{second}")
async def {name}(event): ...

@handles("hang", transaction=True, ordered_by="call_id")
async def count(event, connection): ...

@answers("assistant-request", "tool-calls")
async def choose(question): ...
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module in the current folder, with a name that no other test imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("RINGBACK_HANDLERS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / f"hooks_{abs(hash(tmp_path))}.py"


def test_handlers_hooks_and_overlaps_are_listed(
    ringback: Ringback, module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The modules come from RINGBACK_HANDLERS, as for a processor."""
    module.write_text(GOOD.format(name="book", second="end-of-call-report"), encoding="utf-8")
    monkeypatch.setenv("RINGBACK_HANDLERS", module.stem)

    done = ringback("handlers", "check", "--strict")
    document = orjson.loads(ringback("handlers", "check", "--json").out)

    assert document["functions"][0] == {
        "function": f"{module.stem}.book",
        "runs": "for each event",
        "eventTypes": ["hang", "end-of-call-report"],
    }
    assert (len(document["functions"]), document["mistakes"]) == (5, [])
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert (done.status, done.err) == (0, "")
    assert lines == [
        "function runs event types",
        f"{module.stem}.book for each event hang, end-of-call-report",
        f"{module.stem}.count in the transaction, in the order of its call hang",
        f"{module.stem}.connect at the start -",
        f"{module.stem}.disconnect at the stop -",
        f"{module.stem}.choose in the gateway assistant-request, tool-calls",
        (
            f"hang runs {module.stem}.book, then {module.stem}.count; "
            "an error of one ends the attempt."
        ),
    ]


def test_an_unknown_type_is_named_and_is_a_mistake_only_if_strict(
    ringback: Ringback, module: Path
) -> None:
    module.write_text(GOOD.format(name="book", second="tool-call"), encoding="utf-8")

    lenient = ringback("handlers", "check", module.stem)
    strict = ringback("handlers", "check", module.stem, "--strict")

    assert (lenient.status, strict.status) == (0, 1)
    assert "handles tool-call, which is not a type that Vapi documents. Did you" in lenient.out
    assert "mean tool-calls?" in lenient.out


def test_all_mistakes_are_printed(ringback: Ringback, module: Path) -> None:
    """Nothing to check is a mistake too."""
    source = "from ringback.handlers import on_stop\n@on_stop\ndef one(pool): ...\n"
    module.write_text(source, encoding="utf-8")

    wrong = ringback("handlers", "check", module.stem, "no_such_module")
    nothing = ringback("handlers", "check")

    assert wrong.status == 1
    assert "No module named 'no_such_module'" in wrong.out
    assert f"Ringback calls {module.stem}.one(), but its parameters" in wrong.out
    assert wrong.error == "Error: A processor would not start: correct 2 mistakes."
    assert (nothing.status, nothing.error) == (2, "Error: Name a module, or set RINGBACK_HANDLERS.")
