"""A process's memory and open files, from the kernel."""

from pathlib import Path


def resident_mib(pid: int) -> float:
    return _status_mib(pid, "VmRSS:")


def peak_mib(pid: int) -> float:
    return _status_mib(pid, "VmHWM:")


def _status_mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0
