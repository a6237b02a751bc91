"""What a builder gets of the checkout: all that .dockerignore does not leave out."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

_PARTS = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_AS_REGEX = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def patterns(dockerignore: str) -> list[str]:
    lines = (line.strip() for line in dockerignore.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def is_sent(path: PurePosixPath, ignored: Sequence[str]) -> bool:
    """Whether the builder gets it: the last pattern that fits it, or a folder above, decides."""
    sent = True
    for pattern in ignored:
        again = pattern.startswith("!")
        if any(_fits(str(part), pattern.removeprefix("!")) for part in (path, *path.parents)):
            sent = again
    return sent


def copy_context(checkout: Path, source: str, to: Path, ignored: Sequence[str]) -> None:
    """Copy a file, or what is in a folder, as COPY does. Raises FileNotFoundError for nothing."""
    start = checkout / source
    files = [start] if start.is_file() else [path for path in start.rglob("*") if path.is_file()]
    sent = [path for path in files if is_sent(PurePosixPath(path.relative_to(checkout)), ignored)]
    if not sent:
        raise FileNotFoundError(f"{source} is not there, or .dockerignore leaves it out.")
    for path in sent:
        place = to / (path.name if path == start else path.relative_to(start))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place)


def _fits(path: str, pattern: str) -> bool:
    parts = _PARTS.findall(pattern.strip("/"))
    regex = "".join(_AS_REGEX.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(regex, path) is not None
