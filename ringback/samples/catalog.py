from functools import cache
from importlib.resources import files

import orjson

_PACKAGE = "ringback.samples"


def names() -> list[str]:
    """The names of the samples, such as `end-of-call-report`."""
    folder = files(_PACKAGE).joinpath("vapi")
    return sorted(
        entry.name.removesuffix(".json")
        for entry in folder.iterdir()
        if entry.name.endswith(".json")
    )


@cache
def sample(name: str) -> bytes:
    """The body of a webhook as compact JSON. Raises KeyError for a name that is not in `names`."""
    if name not in names():
        raise KeyError(name)
    readable = files(_PACKAGE).joinpath("vapi", f"{name}.json").read_bytes()
    return orjson.dumps(orjson.loads(readable))
