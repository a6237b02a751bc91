"""The command, run in this process."""

from typing import NamedTuple

import pytest

from ringback.cli.app import run


class Ended(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """What it printed on stderr, on one line."""
        return " ".join(self.err.split())


class Ringback:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Ended:
        status = run(words)
        return Ended(status, *self._capsys.readouterr())
