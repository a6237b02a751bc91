"""The console's style sheet, scripts and icon, each at an address that changes with its content."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.resources import files

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Asset:
    """`path` is below the console's base path."""

    path: str
    content_type: str
    body: bytes = field(repr=False)


@cache
def assets() -> Mapping[str, Asset]:
    """The files by name. All have one hash in their paths, since the scripts import each other."""
    found = {
        each.name: each.read_bytes()
        for each in files("ringback.services.metrics.console").joinpath("static").iterdir()
    }
    version = sha256(b"\0".join(found[name] for name in sorted(found))).hexdigest()[:_DIGITS]
    return {
        name: Asset(f"/static/{version}/{name}", _TYPES[name[name.rindex(".") :]], body)
        for name, body in found.items()
    }
