from functools import cache
from importlib.resources import files

import orjson

_PACKAGE = "ringback.samples"
_FOLDERS = ("vapi", "documented")
"""The events of one call as they were seen, and one event of each other type as documented."""


def names() -> list[str]:
    """The names of the samples, such as `end-of-call-report`."""
    return sorted(name for folder in _FOLDERS for name in _names_in(folder))


def call_names() -> list[str]:
    """The names of the samples that are events of one call, from its beginning to its report."""
    return _names_in("vapi")


@cache
def sample(name: str) -> bytes:
    """The body of a webhook as compact JSON. Raises KeyError for a name that is not in `names`."""
    for folder in _FOLDERS:
        if name in _names_in(folder):
            readable = files(_PACKAGE).joinpath(folder, f"{name}.json").read_bytes()
            return orjson.dumps(orjson.loads(readable))
    raise KeyError(f"There is no sample {name!r}. Samples: {', '.join(names())}.")


def _names_in(folder: str) -> list[str]:
    return sorted(
        entry.name.removesuffix(".json")
        for entry in files(_PACKAGE).joinpath(folder).iterdir()
        if entry.name.endswith(".json")
    )
