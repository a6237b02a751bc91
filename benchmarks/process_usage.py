"""The processor time and memory that processes have used, as Linux counts them."""

import os
from collections.abc import Mapping
from pathlib import Path

NODES = {"beam.smp": "broker", "postgres": "database"}
"""A word of the command line, and its part. PostgreSQL's processes rename themselves."""

PARTS = {
    "services.gateway": "gateway",
    "services.processor": "processor",
    "services.metrics": "metrics",
    **NODES,
}
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Give a process's processor time in seconds, user and kernel, with all of its threads."""
    return sum(map(int, _stat_fields(pid)[11:13])) / _TICKS_PER_S


def cpu_by_part_s(parts: Mapping[str, str] = PARTS) -> dict[str, float]:
    """Give the seconds of each part, over all processes below this one, dead children included."""
    found = dict.fromkeys(parts.values(), 0.0)
    for pid in _descendants(os.getpid()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            fields = _stat_fields(pid)
        except OSError:
            continue
        part = next((name for word, name in parts.items() if word in command), None)
        if part is not None:
            found[part] += sum(map(int, fields[11:15])) / _TICKS_PER_S
    return found


def _descendants(root: int) -> set[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int(_stat_fields(int(path.name))[1])
        except OSError:
            continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


def _stat_fields(pid: int) -> list[str]:
    """The fields after a process's name, which may contain anything."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def resident_mib(pid: int) -> float:
    return _status_mib(pid, "VmRSS:")


def peak_mib(pid: int) -> float:
    return _status_mib(pid, "VmHWM:")


def _status_mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0
