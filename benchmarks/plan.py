"""Which cells a run measures, for which systems, in which order.

The systems of a cell follow each other, so that a slow minute of the machine affects all of them.
"""

from collections.abc import Sequence

from benchmarks.cells import Cell

MAIN = ("ringback", "replaced", "plain")
OTHERS = ("replaced-everysec", "floor")


def accept(
    systems: Sequence[str], connections: Sequence[int], sizes: Sequence[str], seconds: float
) -> list[Cell]:
    return [
        Cell(part="accept", system=name, value=value, size=size, seconds=seconds)
        for size in sizes
        for value in connections
        for name in systems
    ]


def drain(systems: Sequence[str], handlers: Sequence[int], count: int) -> list[Cell]:
    return [
        Cell(part="drain", system=name, value=value, count=count)
        for value in handlers
        for name in systems
        if name != "floor"
    ]


def rate(systems: Sequence[str], rates: Sequence[int], seconds: float) -> list[Cell]:
    return [
        Cell(part="rate", system=name, value=value, seconds=seconds)
        for value in rates
        for name in systems
        if name != "floor"
    ]


def quick() -> list[Cell]:
    return [
        *accept(MAIN, (16, 64), ("16.7kB",), 2),
        *drain(MAIN, (5, 50), 3_000),
        *rate(MAIN, (200,), 5),
    ]


def full() -> list[Cell]:
    connections = (1, 8, 16, 64, 256)
    return [
        *accept(MAIN, connections, ("16.7kB",), 3) * 3,
        *accept(OTHERS, (16, 64), ("16.7kB",), 3) * 3,
        *accept(MAIN, (16, 64), ("2kB", "260kB", "1.3MB"), 2) * 2,
        *drain(MAIN, (5, 50), 20_000) * 3,
        *rate(MAIN, (50, 200, 400, 600), 15) * 2,
    ]
