"""A process whose clock is wrong, by libfaketime."""

from pathlib import Path

_LIBRARIES = (
    *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
    *Path("/usr/local/lib").glob("faketime/libfaketimeMT.so.1"),
)


def is_available() -> bool:
    """Whether libfaketime is installed: `sh ringback/local/install.sh faketime`."""
    return bool(_LIBRARIES)


def off_by(offset: str) -> dict[str, str]:
    """Give the variables for a process with a wrong clock, by `+9d` or `-3d` for example."""
    return {
        "LD_PRELOAD": str(_LIBRARIES[0]),
        "FAKETIME": offset,
        # A wrong clock runs as fast as any other.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
