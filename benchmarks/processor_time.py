"""How much processor time each part of a running stack has used, as Linux counts it."""

import os
from pathlib import Path

#: A word of the command line, and the part it identifies. PostgreSQL's processes rename themselves.
_PARTS = {
    "services.gateway": "gateway",
    "services.processor": "processor",
    "services.metrics": "metrics",
    "beam.smp": "broker",
    "postgres": "database",
}
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def used_s() -> dict[str, float]:
    """Seconds by part, of all processes below this one: user and kernel, dead children included."""
    found = dict.fromkeys(_PARTS.values(), 0.0)
    for pid in _below(os.getpid()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            fields = _fields(pid)
        except OSError:
            continue
        part = next((name for word, name in _PARTS.items() if word in command), None)
        if part is not None:
            found[part] += sum(map(int, fields[11:15])) / _TICKS_PER_S
    return found


def _below(root: int) -> set[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int(_fields(int(path.name))[1])
        except OSError:
            continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


def _fields(pid: int) -> list[str]:
    """The fields after a process's name, which may contain anything."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
