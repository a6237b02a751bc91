"""Look at the processes of the machine (Linux)."""

import ipaddress
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


def listening(pids: set[int]) -> set[str]:
    """The addresses on which one of these processes listens, by IPv4 or IPv6."""
    sockets = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                sockets.add(link.readlink().name)
            except OSError:
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="utf-8").splitlines()[1:]:
            fields = line.split()
            address, state, inode = fields[1].partition(":")[0], fields[3], fields[9]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                found.add(_address(bytes.fromhex(address)))
    return found


def _address(packed: bytes) -> str:
    """Written word by word, each in the machine's order."""
    words = [packed[start : start + 4][::-1] for start in range(0, len(packed), 4)]
    return str(ipaddress.ip_address(b"".join(words)))
