"""Runs wrk, the closed-loop client, which costs less than any server that it measures."""

import asyncio
import json
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bodies import CALL_ID, body

_SCRIPT = Path(__file__).with_name("wrk.lua")
_TIMEOUT_S = 10


class CellError(Exception):
    """This cell cannot be measured; the message is a sentence for the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    answered: int
    refused: int
    broken: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def accepted(self) -> int:
        return self.answered - self.refused

    @property
    def per_s(self) -> float:
        return self.accepted / self.seconds if self.seconds else 0.0


def parse(printed: str) -> Answers:
    """Read the line of JSON that wrk.lua prints after wrk's own lines."""
    lines = [line for line in printed.splitlines() if line.startswith("{")]
    if len(lines) != 1:
        raise CellError(f"wrk printed no result: {printed.strip()[-200:]!r}.")
    return Answers(**json.loads(lines[0]))


async def load(folder: Path, url: str, size: str, connections: int, seconds: float) -> Answers:
    """Post for `seconds`; each connection posts its next when the previous one is answered."""
    program = shutil.which("wrk")
    if program is None:
        raise CellError("wrk is not installed: apt-get install wrk.")
    file = folder / f"body-{size}.json"
    await asyncio.to_thread(file.write_bytes, body(size))
    prefix = f"0{str(uuid.uuid4())[1:24]}"
    process = await asyncio.create_subprocess_exec(
        *(program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"),
        *(f"--timeout={_TIMEOUT_S}s", "-s", str(_SCRIPT), url, "--"),
        *(str(file), CALL_ID.decode(), prefix),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return parse(printed.decode(errors="replace"))
