"""How two events differ, value by value."""

from dataclasses import dataclass
from hashlib import sha256

from ringback.services.metrics.console.views.payload import Payload

MAX_DIFFERENCES = 100
_MAX_VALUE = 300
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that is not the same in both. None: there is no such value."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Diff:
    """`is_cut`: only the beginnings were compared. `left_out` differences are not in the list."""

    differences: list[Difference]
    left_out: int
    is_cut: bool


def diff_of(before: Payload, after: Payload) -> Diff:
    """Compare the parts that are shown of two events. A list is compared item by item."""
    old, new = _values(before), _values(after)
    found = [
        Difference(_short(path), _shortened(old.get(path)), _shortened(new.get(path)))
        for path in {**old, **new}
        if old.get(path) != new.get(path)
    ]
    shown = found[:MAX_DIFFERENCES]
    return Diff(shown, len(found) - len(shown), before.is_cut or after.is_cut)


def _values(payload: Payload) -> dict[str, str]:
    """Each value by its path, as in `message.calls[0].id`."""
    values: dict[str, str] = {}
    #: The path of each open object or list, and the index of its next member.
    parents: list[tuple[str, int]] = []
    for line in payload.lines:
        if line.kind == "close":
            parents.pop()
            continue
        before, index = parents.pop() if parents else ("", 0)
        path = f"{before}.{_in_path(line.name[1:-1])}" if line.name else f"{before}[{index}]"
        path = path.removeprefix(".") if line.depth else ""
        if line.depth:
            parents.append((before, index + 1))
        if line.kind == "open":
            parents.append((path, 0))
        else:
            values[path] = "".join(piece.text for piece in line.pieces)
    return values


def _in_path(name: str) -> str:
    """A long name is cut, since the path of each value below it contains it; no two look alike."""
    if len(name) <= _MAX_NAME:
        return name
    return f"{name[:_MAX_NAME]}…{sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def _shortened(value: str | None) -> str | None:
    return None if value is None else _short(value)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"
