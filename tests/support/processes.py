"""Look at the processes of the machine (Linux)."""

from pathlib import Path


def descendants(pid: int) -> set[int]:
    """List every process below `pid`."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        children = _children(waiting.pop()) - found
        found |= children
        waiting.extend(children)
    return found


def alive(pids: set[int]) -> set[int]:
    """Leave out those that have ended, also the ones that nobody has waited for yet."""
    return {pid for pid in pids if _state(pid) not in {"", "Z", "X"}}


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            listed = (task / "children").read_text(encoding="utf-8")
        except OSError:
            continue
        found |= {int(child) for child in listed.split()}
    return found


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return ""
