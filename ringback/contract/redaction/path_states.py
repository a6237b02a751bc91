"""All paths as one machine: it goes from state to state by the keys on the way into a document.

So a document is walked once, however many paths there are.
"""

from collections.abc import Iterable

from ringback.contract.redaction.redact_paths import ANY, ANY_DEPTH, BadPathError, Path

_MOST_STATES = 2_000
_MOST_KEYS = 1_000
_LONGEST_KEY = 64
_IN_NO_NAME = "\0"

#: How far each path has come: the number of a path, and that of its next segment.
_Positions = frozenset[tuple[int, int]]


class State:
    """Where a walk is. `is_final`: the value here is to be hidden.

    By a key it goes to `by_key[key]`, or where that is missing to `after(key)`; by an index it goes
    to `other`. None: no path leads any further.
    """

    __slots__ = ("_by_prefix", "by_key", "is_final", "other")

    def __init__(self, *, is_final: bool) -> None:
        self.is_final = is_final
        self.by_key: dict[str, State | None] = {}
        self.other: State | None = None
        self._by_prefix: dict[str, State] = {}

    def lead(
        self, by_name: dict[str, "State"], by_prefix: dict[str, "State"], other: "State | None"
    ) -> None:
        """Say where it goes. Of two prefixes that a key begins with the longer one holds."""
        self.by_key.update(by_name)
        self._by_prefix = dict(sorted(by_prefix.items(), key=lambda item: -len(item[0])))
        self.other = other

    def after(self, key: str) -> "State | None":
        """Where a key leads. It is remembered: the keys of events are a few hundred words."""
        if key in self.by_key:
            return self.by_key[key]
        leads = (there for prefix, there in self._by_prefix.items() if key.startswith(prefix))
        found = next(leads, self.other)
        if len(self.by_key) < _MOST_KEYS and len(key) <= _LONGEST_KEY:
            self.by_key[key] = found
        return found


def first_state(paths: tuple[Path, ...]) -> State:
    """The state of a whole document. Raises BadPathError where the paths are too entangled."""
    return _Maker(paths).state(_open(paths, ((number, 0) for number in range(len(paths)))))


class _Maker:
    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._paths = paths
        self._made: dict[_Positions, State] = {}

    def state(self, positions: _Positions) -> State:
        if positions in self._made:
            return self._made[positions]
        if len(self._made) >= _MOST_STATES:
            raise BadPathError("has too many paths in which ** stands before several names")
        is_final = any(place == len(self._paths[number]) for number, place in positions)
        state = self._made[positions] = State(is_final=is_final)
        if is_final:
            return state
        segments = {self._paths[number][place] for number, place in positions} - {ANY, ANY_DEPTH}
        prefixes = {segment[:-1] for segment in segments if segment.endswith(ANY)}
        names = {segment for segment in segments if not segment.endswith(ANY)}
        rest = self._step(positions, None)
        state.lead(
            {name: self._after(positions, name) for name in names},
            # Of the keys with this beginning one that no path names: the beginning itself may be.
            {prefix: self._after(positions, prefix + _IN_NO_NAME) for prefix in prefixes},
            self.state(rest) if rest else None,
        )
        return state

    def _after(self, positions: _Positions, key: str) -> State:
        return self.state(self._step(positions, key))

    def _step(self, positions: _Positions, key: str | None) -> _Positions:
        """By a key, or None for an index and for a key that no path names."""
        moved = []
        for number, place in positions:
            segment = self._paths[number][place]
            if segment == ANY_DEPTH:
                moved.append((number, place))
            elif segment in {ANY, key} or (
                key is not None and segment.endswith(ANY) and key.startswith(segment[:-1])
            ):
                moved.append((number, place + 1))
        return _open(self._paths, moved)


def _open(paths: tuple[Path, ...], positions: Iterable[tuple[int, int]]) -> _Positions:
    """With what `**` standing for nothing allows as well."""
    found: set[tuple[int, int]] = set()
    for number, start in positions:
        path, place = paths[number], start
        found.add((number, place))
        while place < len(path) and path[place] == ANY_DEPTH:
            place += 1
            found.add((number, place))
    return frozenset(found)
