"""Notices when the files of handlers change, so that the local stack restarts their processor."""

import importlib.machinery
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_MAX_FILES = 2_000
"""More than any project of handlers has. The files are looked at several times a second."""


class ChangeWatch:
    """Watches the Python files of modules and of their whole packages.

    A change counts once the files stay the same from one look to the next: editors and version
    control write several files one after the other.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = roots
        self._settled = self._last = self._look()

    def has_changed(self) -> bool:
        """Whether files have changed since the last call that returned True, or the beginning."""
        now, before = self._look(), self._last
        self._last = now
        if now == self._settled or now != before:
            return False
        self._settled = now
        return True

    def _look(self) -> dict[Path, tuple[int, int]]:
        found = {}
        for path in _files_in(self._roots):
            try:
                about = path.stat()
            except OSError:
                continue
            found[path] = (about.st_mtime_ns, about.st_size)
            if len(found) >= _MAX_FILES:
                break
        return found


def handler_files(modules: str, environ: Mapping[str, str]) -> list[Path]:
    """The files or package folders of modules, comma separated, that a processor would import.

    Nothing is imported, so a module that is broken is found too. Those of installed packages are
    left out, because nobody edits them.
    """
    python_path = environ.get("PYTHONPATH", "").split(os.pathsep)
    search = [str(Path.cwd()), *filter(None, python_path), *sys.path]
    roots = []
    for name in filter(None, (part.strip() for part in modules.split(","))):
        spec = importlib.machinery.PathFinder.find_spec(name.partition(".")[0], search)
        for place in _places_of(spec):
            if not {"site-packages", "dist-packages"} & set(place.parts) and place not in roots:
                roots.append(place)
    return roots


def _places_of(spec: importlib.machinery.ModuleSpec | None) -> Iterator[Path]:
    if spec is None:
        return
    if spec.submodule_search_locations is not None:
        yield from map(Path, spec.submodule_search_locations)
    elif spec.origin is not None:
        yield Path(spec.origin)


def _files_in(roots: Sequence[Path]) -> Iterator[Path]:
    for root in roots:
        if root.is_dir():
            yield from root.rglob("*.py")
        else:
            yield root
