"""Formats a figure in its unit, as Grafana does."""

import math

_SECONDS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"), (1e-6, "us"))
_THREE_DIGITS = 100
_COUNTS = ((1e9, "B"), (1e6, "M"), (1e3, "K"))
_BYTES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


def said(value: float, unit: str, decimals: int | None = None) -> str:
    """A figure with its unit: `1.5 min` for 90 of the unit `s`; a dash if it is not a number."""
    if math.isnan(value):
        return "-"
    if unit == "percentunit":
        return f"{_short(value * 100, decimals)}%"
    if unit.startswith("suffix:"):
        return f"{_short(value, decimals)}{unit.removeprefix('suffix:')}"
    steps = {"s": _SECONDS, "short": _COUNTS, "bytes": _BYTES}[unit]
    for size, name in steps:
        if abs(value) >= size:
            return f"{_short(value / size, decimals)} {name}"
    return _short(value, decimals) + (" s" if unit == "s" else "")


def _short(value: float, decimals: int | None) -> str:
    """Three digits at most, or the requested number of decimals."""
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.0f}" if abs(value) >= _THREE_DIGITS else f"{value:.3g}"
