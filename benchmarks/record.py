"""The file with all figures of a run, complete after each cell."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from benchmarks.bodies import USUAL_SIZE
from benchmarks.cells import Cell, Result

RESULTS = Path(__file__).parent / "results"
_LOG_CHARACTERS = 20_000


def _new_file() -> Path:
    return RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"


@dataclass(slots=True)
class Record:
    conditions: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    file: Path = field(default_factory=_new_file)

    def add(self, result: Result) -> None:
        self.results.append(result)
        document = {"conditions": self.conditions, "results": list(map(asdict, self.results))}
        self.file.parent.mkdir(exist_ok=True)
        unfinished = self.file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(document, indent=2), encoding="utf-8")
        unfinished.rename(self.file)

    def values(self, part: str, system: str, value: int, name: str) -> list[float]:
        """A figure of each round of a cell with the usual body."""
        return [
            one.figures[name]
            for one in self.results
            if (one.cell.part, one.cell.system, one.cell.value) == (part, system, value)
            and one.cell.size == USUAL_SIZE
            and name in one.figures
        ]

    def keep_logs(self, folder: Path, system: str) -> None:
        """Keep the end of what a system logged, to find out why a measurement failed."""
        kept = self.file.with_suffix("")
        kept.mkdir(parents=True, exist_ok=True)
        for log in [*folder.glob(f"{system}-*.log"), *folder.glob("ringback/logs/*.log")]:
            text = log.read_text(encoding="utf-8", errors="replace")
            (kept / log.name).write_text(text[-_LOG_CHARACTERS:], encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Self:
        document = json.loads(file.read_text(encoding="utf-8"))
        results = [Result(**one | {"cell": Cell(**one["cell"])}) for one in document["results"]]
        return cls(document["conditions"], results, file)
