"""The processor time and memory that processes have used, as Linux counts them."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

NODES = {"beam.smp": "broker", "postgres": "database"}
"""A word of the command line, and its part. PostgreSQL's processes rename themselves."""

PARTS = {
    "ringback.services.gateway": "gateway",
    "ringback.services.processor": "processor",
    "ringback.services.metrics": "metrics",
    **NODES,
}
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_by_part_s(parts: Mapping[str, str] = PARTS) -> dict[str, float]:
    """Give the seconds of each part, over all processes below this one, dead children included."""
    return _by_part(parts, lambda pid: sum(map(int, _stat_fields(pid)[11:15])) / _TICKS_PER_S)


def pss_by_part_mib(parts: Mapping[str, str]) -> dict[str, float]:
    """Give the memory of each part; a page that processes share counts once."""
    return _by_part(parts, lambda pid: _field_mib(Path(f"/proc/{pid}/smaps_rollup"), "Pss:"))


def _by_part(parts: Mapping[str, str], read: Callable[[int], float]) -> dict[str, float]:
    found = dict.fromkeys(parts.values(), 0.0)
    for pid in _descendants(os.getpid()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            part = next((name for word, name in parts.items() if word in command), None)
            if part is not None:
                found[part] += read(pid)
        except OSError:
            continue
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
    return _field_mib(Path(f"/proc/{pid}/status"), "VmRSS:")


def peak_mib(pid: int) -> float:
    return _field_mib(Path(f"/proc/{pid}/status"), "VmHWM:")


def _field_mib(file: Path, name: str) -> float:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0
