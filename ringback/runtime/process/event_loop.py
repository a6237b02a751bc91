"""Runs a coroutine on uvloop, or on asyncio's own loop where uvloop does not exist: Windows."""

try:
    from uvloop import run
except ModuleNotFoundError:
    from asyncio import run  # type: ignore[assignment]  # it has an option less

__all__ = ["run"]
