"""What `python -m chaos` prints."""

from pathlib import Path

import pytest

from chaos.app import main
from chaos.registry import ALL

BAD_INPUT = 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["load", "--url", "ftp://x", "--ledger", "LEDGER"], "is not a URL"),
        (["load", "--url", "http://x", "--ledger", "LEDGER", "--rate", "0"], "--rate"),
        (["load", "--url", "http://x", "--ledger", "/nowhere/x"], "cannot be written"),
        (["load", "--url", "http://x", "--ledger", "."], "exists already"),
        (["check", "--ledger", "LEDGER", "--metrics", "x:1"], "cannot be read"),
        (["check", "--ledger", "LEDGER"], "either --database or --metrics"),
        (["run", "--only", "earthquake"], "There is no fault 'earthquake'"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("RINGBACK_DATABASE_URL", raising=False)
    given = [str(tmp_path / "ledger") if part == "LEDGER" else part for part in arguments]

    status = main(given)

    printed = capsys.readouterr().err
    assert status == BAD_INPUT
    assert words in " ".join(printed.split())
    assert "Traceback" not in printed


def test_the_list_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """With its sentence; each is selected by its name."""
    assert main(["list"]) == 0

    printed = capsys.readouterr().out
    assert all(fault.name in printed and fault.sentence in printed for fault in ALL)
    assert len({fault.name for fault in ALL}) == len(ALL)
